"""A task, as the one who submitted it holds it."""

import uuid
from typing import TYPE_CHECKING, Any, Dict, Generator, Generic, Optional, TypeVar

from ._outcome import Outcome
from ._results import Waiter
from .errors import AlreadyFinished

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ._client import Client

R = TypeVar("R")


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

    def logs(self) -> str:
        """What the task has printed: standard output, then standard error, of each attempt that ended."""
        attempts = self._client.rest("GET", f"/v1/tasks/{self.id}/logs")["attempts"]
        return "".join(attempt["stdout"] + attempt["stderr"] for attempt in attempts)

    def info(self) -> Dict[str, Any]:
        """Everything that the cluster knows of the task but its arguments and result."""
        info: Dict[str, Any] = self._client.rest("GET", f"/v1/tasks/{self.id}")
        return info

    def future(self) -> "Future[R]":
        """Return a ``concurrent.futures.Future`` of the result, for ``wait``, ``as_completed`` and the like."""
        from ._futures import TaskFuture

        future = TaskFuture(self._client, self._bytes)
        future._accepted.set()
        self._client._expect([self._bytes], future)
        return future

    def __await__(self) -> Generator[Any, None, R]:
        """``await handle`` in any asyncio loop."""
        import asyncio

        return asyncio.wrap_future(self.future()).__await__()

    def ended(self, outcome: Outcome) -> None:
        """Take the outcome; for the delivery thread."""
        self._outcome = outcome

    def _wait(self, timeout: Optional[float]) -> Outcome:
        if self._outcome is None and not self._watched:
            self._watched = True
            self._client._expect([self._bytes], self)
        if not self._client._results.wait_for(lambda: self._outcome is not None, timeout):
            from concurrent.futures import TimeoutError as FutureTimeoutError

            # The built-in class from Python 3.11 on; before, what every user of futures catches.
            raise FutureTimeoutError(f"task {self.id} has not ended after {timeout} s; it goes on")
        assert self._outcome is not None, "the wait was for it"
        return self._outcome

    def __repr__(self) -> str:
        state = "" if self._outcome is None else f" {self._outcome.status}"
        return f"<Handle {self.id}{state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other._bytes == self._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)
