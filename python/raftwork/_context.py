"""What a running task may know about itself, and how it is told to stop.

The child process of a worker fills this in before it calls the user's function. The module
imports nothing of the package, so that a child can load it without the SDK.
"""

from __future__ import annotations

from typing import Callable, NamedTuple


class Task(NamedTuple):
    """The task that this process runs right now."""

    id: str
    """The task's identifier, as every part of the cluster writes it."""

    token: int
    """The fencing token of this attempt: it rises with every grant in the cluster.

    Pass it to systems that you write to, and let them refuse a token lower than one they have seen.
    """

    attempt: int
    """Which attempt this is, counted from 1."""

    def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """Say how far the task is, for whoever looks: ``Handle.progress``, ``raftwork tasks show``, REST.

        ``done`` and ``total`` count in a unit of your own. At most ten words a second are passed on, so call it as
        often as you like; only the newest is kept, by the leader in memory, while the task runs.
        """
        if not (isinstance(done, int) and isinstance(total, (int, type(None)))):
            raise TypeError(f"progress is counted in whole numbers, not {done!r} of {total!r}")
        if not (0 <= done < 1 << 64 and 0 <= (total or 0) < 1 << 64):
            raise ValueError(f"progress of {done} of {total} is out of range")
        if _report is not None:
            _report(self.token, done, total, str(message))


class TaskTimeout(TimeoutError):
    """The task ran longer than its timeout allows.

    Raised in the main thread of the child process. Code that catches it has the grace period (5
    seconds by default) to clean up before the process group is killed.
    """


class TaskCancelled(BaseException):
    """The task was cancelled, or its lease was lost, while it ran.

    Not an ``Exception``, so that a broad ``except Exception`` does not keep a cancelled task alive.
    """


#: The fields of the running task as the agent sent them: most tasks never ask, so it is made for those that do.
_current: tuple[bytes, int, int] | None = None


#: How progress reaches the agent; set by the child runtime.
_report: Callable[[int, int, int | None, str], None] | None = None


def current_task() -> Task | None:
    """Return the task that this process runs, or ``None`` outside of a worker's child process.

    Threads that a task starts see the same task.
    """
    if _current is None:
        return None
    id, token, attempt = _current
    return Task(id.decode("ascii"), token, attempt)


def _set_current(task: tuple[bytes, int, int] | None) -> None:
    """Record the running task; for the child runtime only."""
    global _current
    _current = task


def _set_report(report: Callable[[int, int, int | None, str], None]) -> None:
    """Say how progress reaches the agent; for the child runtime only."""
    global _report
    _report = report
