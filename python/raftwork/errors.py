"""Everything that can go wrong, as exception classes.

Two families: a ``ClusterError`` means that the cluster did not do what it was asked; a ``TaskError`` means that it did,
and the task failed. A task that fails by its own exception raises *that* exception, with the remote traceback as its
cause; ``TaskFailed`` stands in where it cannot be pickled. A task over its time raises ``raftwork.TaskTimeout``.
"""

from typing import Optional


class RaftworkError(Exception):
    """Any error of this package but ``TaskTimeout``, which is a ``TimeoutError``."""


class ClusterError(RaftworkError):
    """The cluster did not do what it was asked."""


class Unavailable(ClusterError, ConnectionError):
    """No leader answered in time. The request may have been carried out; repeating it under the same ids is safe."""


class Rejected(ClusterError):
    """The cluster refused the request; repeating it will not help."""


class UnknownTask(Rejected, LookupError):
    """There is no such task, or it was forgotten after its retention."""


class UnknownMap(Rejected, LookupError):
    """There is no such map, or it was forgotten after its retention."""


class UnknownFunction(Rejected, LookupError):
    """There is no such function."""


class UnknownLimit(Rejected, LookupError):
    """No task names such a limit, and nobody set it."""


class UnknownSchedule(Rejected, LookupError):
    """There is no schedule of this name."""


class AlreadyFinished(Rejected):
    """The task had ended before."""


class NotRedrivable(Rejected):
    """The task has not failed, so there is nothing to redrive; see ``Handle.redrive``."""


class TaskPending(RaftworkError):
    """The task has not ended, so there is no result to get; see ``Client.get_result``."""


class Conflict(Rejected):
    """The id is taken by another task or function."""


class TooLarge(Rejected, ValueError):
    """Something is over its limit."""


class ClientClosed(RaftworkError, RuntimeError):
    """The client was closed while somebody waited for a result; the task goes on, see ``Client.get``."""


class SerializationError(RaftworkError, TypeError):
    """A function or its arguments cannot be pickled; the message names the part that cannot."""


class RaftworkWarning(UserWarning):
    """Something that works, and will surprise."""


class LargePayloadWarning(RaftworkWarning):
    """A function or its arguments are large: they are copied to every node, and kept as long as the task is."""


class MissingModuleWarning(RaftworkWarning):
    """A function needs a module of this machine that workers may not have."""


class NoWorkerWarning(RaftworkWarning):
    """No worker that is connected can run what was submitted; it waits for one."""


class RemoteTraceback(Exception):
    """The traceback on the worker, as the cause of an exception that was raised there."""

    def __init__(self, traceback: str) -> None:
        super().__init__(traceback)
        self.traceback = traceback

    def __str__(self) -> str:
        return f'\n"""\n{self.traceback.rstrip()}\n"""'


class TaskError(RaftworkError):
    """The task failed."""

    task_id: Optional[str] = None
    """The task; ``None`` if the exception was not made by a client."""


class TaskFailed(TaskError):
    """The function raised an exception that cannot be loaded here, or returned what cannot be pickled."""

    def __init__(self, type_name: str, message: str = "", remote_traceback: str = "") -> None:
        super().__init__(type_name, message, remote_traceback)
        self.type_name = type_name
        self.message = message
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class TaskLoadError(TaskError):
    """The worker could not load the function or its arguments."""


class TaskExpired(TaskError, TimeoutError):
    """The task was not started by the time that its ``start_by`` allows, and never will be."""


class DependencyFailed(TaskError):
    """The task never ran, because one that it was to run after failed, was parked or was cancelled.

    ``client.get(error.dependency).exception()`` says why that one has no result.
    """

    dependency: Optional[str] = None
    """The id of the task that it was to run after; ``None`` if the exception was not made by a client."""


class TaskCancelledError(TaskError):
    """The task was cancelled, so it has no result."""


class WorkerFailure(TaskError):
    """Something other than the function's own code ended the task."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class WorkerLost(WorkerFailure):
    """Workers that ran the task vanished, too often for another try."""


class TaskCrashed(WorkerFailure):
    """The process died under the task, too often for another try."""

    exit_code: Optional[int] = None
    """Exit code, if the process exited."""
    signal: Optional[int] = None
    """Number of the signal that ended it, if one did."""


class TaskOutOfMemory(TaskCrashed):
    """The task's processes used more memory than the worker allows, too often for another try."""

    limit: Optional[int] = None
    """What is allowed, in bytes."""
    peak: Optional[int] = None
    """The highest use seen, in bytes."""
