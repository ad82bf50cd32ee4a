"""Tasks as futures of the standard library."""

import threading
import uuid
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any, Optional, Protocol

from ._outcome import Outcome
from ._results import Waiter
from .errors import ClusterError

if TYPE_CHECKING:
    from ._client import Client

    _Future = Future[Any]
else:
    _Future = Future


class Sender(Protocol):
    """Who may have the call still in its hands."""

    def take_back(self, future: "TaskFuture") -> bool:
        """Whether the call had not left this process; it never will then."""


class Arrival(_Future, Waiter):
    """The future of waiting for a task: done once the task has ended; to cancel it gives up waiting and no more."""

    def ended(self, outcome: Outcome) -> None:
        """Take the outcome; for the delivery thread."""
        try:
            self.set_result(outcome)
        except InvalidStateError:
            # Nobody waits any more.
            pass


class TaskFuture(_Future, Waiter):
    """The future of a task; unlike other futures, it can be cancelled while it runs.

    It stays pending until the task ends, so that ``cancel`` is not refused by the base class.
    """

    def __init__(self, client: "Client", id: bytes) -> None:
        super().__init__()
        self._client = client
        self._bytes = id
        self._executor: Optional[Sender] = None
        # The executor has taken the call back before it left this process.
        self._unsent = False
        # Set once the cluster has the task, or never will.
        self._accepted = threading.Event()
        self._ending = threading.Lock()
        self._told = False

    @property
    def task_id(self) -> str:
        """The task's id: ``client.get(future.task_id)`` finds it again."""
        return str(uuid.UUID(bytes=self._bytes))

    def running(self) -> bool:
        """Whether a worker runs the task right now; asks the cluster."""
        return self._accepted.is_set() and not self.done() and self._client._core.status(self._bytes) == "running"

    def cancel(self) -> bool:
        """Cancel the task, running or not; ``False`` if it has ended otherwise."""
        if self.done():
            return self.cancelled()
        if self._executor is not None and self._executor.take_back(self):
            return self._end_cancelled()
        self._accepted.wait()
        try:
            self._client._core.cancel(self._bytes)
        except ClusterError:
            return self.cancelled()
        return self._end_cancelled()

    def ended(self, outcome: Outcome) -> None:
        """Take the outcome; for the delivery thread."""
        if outcome.status == "cancelled":
            self._end_cancelled()
        elif outcome.is_large:
            # To fetch it takes a while, for which others must not wait.
            threading.Thread(target=self._settle_as, args=(outcome,), name="raftwork-large", daemon=True).start()
        else:
            self._settle_as(outcome)

    def _settle_as(self, outcome: Outcome) -> None:
        try:
            value, error = outcome.value(), None
        except BaseException as raised:
            value, error = None, raised
        self.settle(value, error)

    def settle(self, value: object, error: Optional[BaseException]) -> None:
        """Set result or exception, unless the future was cancelled meanwhile."""
        try:
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)
        except InvalidStateError:
            # Cancelled between the end of the task and now; the caller was told so, and that stands.
            pass

    def _sent(self, error: Optional[BaseException]) -> None:
        self._accepted.set()
        if error is not None:
            self.settle(None, error)

    def _cancel_unstarted(self) -> None:
        self._accepted.wait()
        if not self.done() and not self.running():
            self.cancel()

    def _end_cancelled(self) -> bool:
        if super().cancel():
            with self._ending:
                told, self._told = self._told, True
            if not told:
                # Tells `wait` and `as_completed`, which the cancel alone does not; twice is an error.
                self.set_running_or_notify_cancel()
        return self.cancelled()
