"""What a task's terminal record means: a value, or an exception to raise."""

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Tuple, TypeVar, Union

from . import errors
from ._context import TaskTimeout
from ._serialize import load

if TYPE_CHECKING:
    from ._core import LargeResult

E = TypeVar("E", bound=errors.TaskError)


class TaskFailure(NamedTuple):
    """What is known of a failure; the fields of ``_core._Error``."""

    kind: str
    type_name: str
    message: str
    traceback: str
    exception: Optional[bytes] = None
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    limit: Optional[int] = None
    peak: Optional[int] = None
    dependency: Optional[bytes] = None


class Outcome(NamedTuple):
    """How a task ended; the fields of ``_core._Ended``."""

    id: bytes
    status: str
    result: Union[bytes, "LargeResult", None] = None
    error: Optional[Tuple[Any, ...]] = None
    """The fields of a ``TaskFailure``."""

    @property
    def is_large(self) -> bool:
        """Whether the result is still with the cluster, so that ``value`` fetches it, each time."""
        return self.result is not None and not isinstance(self.result, bytes)

    def value(self) -> Any:
        """Return the result, or raise what stands in its place."""
        if self.status == "completed" and self.result is not None:
            return load(self.result if isinstance(self.result, bytes) else self.result.read())
        raise self.exception()

    def exception(self) -> BaseException:
        """The exception of a task that did not complete; a new object each time."""
        text = str(uuid.UUID(bytes=self.id))
        if self.error is not None:
            return _exception_of(text, TaskFailure(*self.error))
        if self.status == "cancelled":
            return _marked(errors.TaskCancelledError(f"task {text} was cancelled"), text)
        if self.status == "closed":
            return errors.ClientClosed(f"the client was closed before task {text} ended; the task goes on")
        return errors.UnknownTask(f"there is no task {text}, or it was forgotten after its retention")


def _exception_of(task: str, failure: TaskFailure) -> BaseException:
    if failure.kind == "timeout":
        return _chained(TaskTimeout(failure.message), failure)
    if failure.kind == "exception":
        return _chained(_original(failure) or _marked(_substitute(failure), task), failure)
    return _chained(_marked(_made(failure), task), failure)


def _made(failure: TaskFailure) -> errors.TaskError:
    """The exceptions that are not the function's own."""
    if failure.kind == "load":
        return errors.TaskLoadError(failure.message)
    if failure.kind == "expired":
        return errors.TaskExpired(failure.message)
    if failure.kind == "dependency":
        broken = errors.DependencyFailed(failure.message)
        if failure.dependency is not None:
            broken.dependency = str(uuid.UUID(bytes=failure.dependency))
        return broken
    if failure.kind == "worker_lost":
        return errors.WorkerLost(failure.message)
    if failure.kind == "crash":
        crash = errors.TaskCrashed(failure.message)
        crash.exit_code, crash.signal = failure.exit_code, failure.signal
        return crash
    if failure.kind == "out_of_memory":
        hog = errors.TaskOutOfMemory(failure.message)
        hog.limit, hog.peak = failure.limit, failure.peak
        return hog
    return _substitute(failure)


def _substitute(failure: TaskFailure) -> errors.TaskFailed:
    return errors.TaskFailed(failure.type_name or failure.kind, failure.message, failure.traceback)


def _original(failure: TaskFailure) -> Optional[BaseException]:
    """The exception that the function raised, if it can be loaded here."""
    if failure.exception is None:
        return None
    try:
        original = load(failure.exception)
    except Exception:
        # Its class is not installed here, or its own unpickling fails: the text must do.
        return None
    if not isinstance(original, BaseException) or hasattr(original, "type_name"):
        # Workers send a RuntimeError with a `type_name` for what they could not pickle.
        return None
    return original


def _marked(error: E, task: str) -> E:
    error.task_id = task
    return error


def _chained(error: BaseException, failure: TaskFailure) -> BaseException:
    if failure.traceback:
        error.__cause__ = errors.RemoteTraceback(failure.traceback)
    return error
