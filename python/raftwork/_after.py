"""``after``: the tasks that one runs after."""

import uuid
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Union

if TYPE_CHECKING:
    from ._async import AsyncHandle
    from ._handle import Handle

    #: A task: its handle, or its id.
    Task = Union[Handle[Any], AsyncHandle[Any], str, uuid.UUID]
    After = Union[Task, Sequence[Task]]

#: What becomes of a task when one that it runs after ends without a result.
POLICIES = ("fail", "run")


def task_ids(after: "Optional[After]") -> Optional[List[bytes]]:
    """The tasks that are named, one or several."""
    if after is None:
        return None
    tasks = after if isinstance(after, Sequence) and not isinstance(after, str) else [after]
    return [_task_id(task) for task in tasks]


def _task_id(task: Any) -> bytes:
    id = getattr(task, "id", task)
    try:
        return id.bytes if isinstance(id, uuid.UUID) else uuid.UUID(id).bytes
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f"after takes handles of tasks, or their ids, and {task!r} is neither") from None


def checked_policy(on_failure: Optional[str]) -> Optional[str]:
    """The policy, if it is one."""
    if on_failure is None or on_failure in POLICIES:
        return on_failure
    raise ValueError(f"on_failure is 'fail' or 'run', not {on_failure!r}")


def taken_out(function: Callable[..., Any], kwargs: Dict[str, Any]) -> Dict[str, Any]:
    """Take ``after`` and ``on_failure`` out of keyword arguments, unless the function has parameters of these names."""
    names = [name for name in ("after", "on_failure") if name in kwargs]
    if not names:
        return {}
    import inspect

    try:
        own = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {name: kwargs.pop(name) for name in names}
    return {name: kwargs.pop(name) for name in names if name not in own}
