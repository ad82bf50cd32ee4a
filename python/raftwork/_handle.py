"""A task, as the one who submitted it holds it."""

import uuid
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Generator,
    Generic,
    Iterator,
    Literal,
    Optional,
    Tuple,
    TypeVar,
    Union,
    overload,
)

from ._outcome import Outcome
from ._references import refer
from ._results import Waiter
from .errors import AlreadyFinished

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ._client import Client

R = TypeVar("R")

#: Statuses that a task never leaves.
ENDED = ("completed", "failed", "parked", "cancelled")


class Handle(Waiter, Generic[R]):
    """One task. Handles can be made again from their ``id``, in any process: ``client.get(id)``."""

    __slots__ = ("_bytes", "_client", "_outcome", "_watched")

    def __init__(self, client: "Client", id: bytes, watched: bool) -> None:
        self._client = client
        self._bytes = id
        self._outcome: Optional[Outcome] = None
        self._watched = watched

    @property
    def id(self) -> str:
        """The task's id, the same on every node and after every fail-over."""
        return str(uuid.UUID(bytes=self._bytes))

    def result(self, timeout: Optional[float] = None) -> R:
        """Wait for the result and return it.

        Raises the exception that the function raised, with the remote traceback as its cause; a ``TaskError`` if
        something else went wrong; ``TimeoutError`` if the task has not ended after ``timeout`` seconds (it goes on).
        """
        value: R = self._wait(timeout).value()
        return value

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """Wait for the end of the task; return what ``result`` would raise, or ``None``."""
        outcome = self._wait(timeout)
        return None if outcome.status == "completed" else outcome.exception()

    def done(self) -> bool:
        """Whether the task has ended, as far as this client was told. Asks nobody."""
        return self._outcome is not None

    def status(self) -> str:
        """Where the task stands: waiting, queued, running, completed, failed, parked or cancelled."""
        if self._outcome is not None and self._outcome.status != "closed":
            return self._outcome.status
        return self._client._core.status(self._bytes)

    def cancel(self) -> bool:
        """End the task before it ends itself; ``False`` if it had ended. A task that has not started never will."""
        try:
            self._client._core.cancel(self._bytes)
        except AlreadyFinished:
            return False
        return True

    def progress(self) -> Optional[Dict[str, Any]]:
        """How far the running task says it is: ``done``, ``total`` and ``message``; see ``Task.progress``.

        ``None`` if it does not run, or has said nothing to the leader of the moment.
        """
        progress: Optional[Dict[str, Any]] = self.info().get("progress")
        return progress

    def redrive(self) -> "Handle[R]":
        """Run a task that failed or was parked again, as a new task, and return its handle. This one stays as it is.

        The new task has the same function, arguments and options, but starts now and counts its tries from nothing. A
        task has one redrive: repeating this returns the same. Raises ``NotRedrivable`` if the task has not failed.
        """
        return Handle(self._client, self._client._core.redrive(self._bytes), watched=False)

    @overload
    def logs(self) -> str: ...

    @overload
    def logs(self, *, follow: Literal[True]) -> Iterator[str]: ...

    @overload
    def logs(self, *, follow: bool) -> Union[str, Iterator[str]]: ...

    def logs(self, *, follow: bool = False) -> Union[str, Iterator[str]]:
        """What the task has printed: standard output, then standard error, of each attempt that ended.

        ``follow=True`` gives an iterator of pieces instead, one for each attempt as it ends, until the task has ended.
        """
        from ._follow import follow_logs, read_logs

        return follow_logs(self) if follow else "".join(text for _, text in read_logs(self))

    def info(self) -> Dict[str, Any]:
        """Everything that the cluster knows of the task but its arguments and result."""
        info: Dict[str, Any] = self._client.rest("GET", f"/v1/tasks/{self.id}")
        return info

    def why(self) -> str:
        """Why the task is not running, or what became of it, in one sentence for people."""
        from ._follow import why

        return why(self.explain())

    def explain(self) -> Dict[str, Any]:
        """Why the task is not running, for programs: ``reason``, ``detail``, ``hint`` and numbers, as in ``/docs``."""
        explanation: Dict[str, Any] = self._client.rest("GET", f"/v1/tasks/{self.id}/explain")
        return explanation

    def get(self, timeout: Optional[float] = None) -> R:
        """As ``result``, under the name that Celery's results have."""
        return self.result(timeout)

    def ready(self) -> bool:
        """Whether the task has ended; asks the cluster. The name is that of Celery's results."""
        return self.done() or self.status() in ENDED

    def future(self) -> "Future[R]":
        """Return a ``concurrent.futures.Future`` of the result, for ``wait``, ``as_completed`` and the like."""
        from ._futures import TaskFuture

        future = TaskFuture(self._client, self._bytes)
        future._accepted.set()
        self._client._expect([self._bytes], future)
        return future

    def __await__(self) -> Generator[Any, None, R]:
        """``await handle`` in any asyncio loop. Who stops waiting does not stop the task: see ``cancel``."""
        import asyncio

        from ._futures import Arrival

        if self._outcome is None:
            arrival = Arrival()
            self._client._expect([self._bytes], arrival)
            self._outcome = yield from asyncio.wrap_future(arrival).__await__()
        value: R
        if self._outcome.is_large:
            value = yield from asyncio.get_running_loop().run_in_executor(None, self._outcome.value).__await__()
        else:
            value = self._outcome.value()
        return value

    def ended(self, outcome: Outcome) -> None:
        """Take the outcome; for the delivery thread."""
        self._outcome = outcome

    def _wait(self, timeout: Optional[float]) -> Outcome:
        if not self._wait_and_tell(timeout):
            from concurrent.futures import TimeoutError as FutureTimeoutError

            # The built-in class from Python 3.11 on; before, what every user of futures catches.
            raise FutureTimeoutError(f"task {self.id} has not ended after {timeout} s; it goes on")
        assert self._outcome is not None, "the wait was for it"
        return self._outcome

    def _wait_and_tell(self, timeout: Optional[float]) -> bool:
        """Wait for the outcome; if it takes long, say once why the task does not run, if there is a reason to."""
        from ._follow import PATIENCE, say_why_waiting

        if timeout is not None and timeout <= PATIENCE:
            return self._wait_quietly(timeout)
        if self._wait_quietly(PATIENCE):
            return True
        say_why_waiting(self)
        return self._wait_quietly(None if timeout is None else timeout - PATIENCE)

    def _wait_quietly(self, timeout: Optional[float]) -> bool:
        """Wait for the outcome; ``False`` if it does not come in time."""
        if self._outcome is None and not self._watched:
            self._watched = True
            self._client._expect([self._bytes], self)
        return self._client._results.wait_for(lambda: self._outcome is not None, timeout)

    def __reduce__(self) -> Tuple[Any, ...]:
        # As an argument of a submit, it stands for its result.
        return refer(self._bytes)

    def __copy__(self) -> "Handle[R]":
        return self

    def __deepcopy__(self, memo: Any) -> "Handle[R]":
        return self

    def _repr_html_(self) -> str:
        """How a notebook shows it: with where it stands at this moment."""
        from ._notebook import task_card

        return task_card(self)

    def __repr__(self) -> str:
        state = "" if self._outcome is None else f" {self._outcome.status}"
        return f"<Handle {self.id}{state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other._bytes == self._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)
