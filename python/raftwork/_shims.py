"""The forms of other systems, for code that comes from there: thin, and without their semantics beyond the form."""

import datetime
import uuid
from typing import TYPE_CHECKING, Any, Callable, Dict, Sequence

from ._core import new_task_ids
from ._handle import ENDED
from ._serialize import dump_call
from .errors import TaskPending

if TYPE_CHECKING:
    from ._client import Client

#: Options of Celery's ``apply_async`` and the options they become.
_SAME = ("priority", "retries")


def celery_options(options: Dict[str, Any]) -> Dict[str, Any]:
    """Options of ``apply_async`` as those of ``Function.options``; raises ``TypeError`` for what has no counterpart."""
    taken: Dict[str, Any] = {}
    for name, value in options.items():
        if name in _SAME:
            taken[name] = value
        elif name == "countdown":
            taken["delay"] = value
        elif name == "eta":
            # Without a zone, it is meant in this machine's.
            taken["run_at"] = value if value.tzinfo else value.astimezone()
        elif name == "expires":
            taken["start_by"] = _seconds_until(value) if isinstance(value, datetime.datetime) else value
        elif name in ("time_limit", "soft_time_limit"):
            taken["timeout"] = value
        else:
            known = ", ".join([*_SAME, "countdown", "eta", "expires", "time_limit", "soft_time_limit"])
            raise TypeError(f"apply_async takes no '{name}' here; it takes {known}; docs/from-celery.md has the others")
    return taken


def _seconds_until(moment: datetime.datetime) -> float:
    now = datetime.datetime.now(moment.tzinfo)
    return max(0.0, (moment - now).total_seconds())


def register_function(client: "Client", function: Callable[..., Any]) -> str:
    """See ``Client.register_function``."""
    return str(uuid.UUID(bytes=client._function_of(function)._registration.id()))


def run(client: "Client", function_id: str, args: Sequence[Any], kwargs: Dict[str, Any]) -> str:
    """See ``Client.run``."""
    id = new_task_ids(1)[0]
    payload, references = dump_call(args, kwargs)
    client._core.submit(uuid.UUID(function_id).bytes, [id], [payload], watch=False, results_of=references)
    return str(uuid.UUID(bytes=id))


def get_result(client: "Client", task_id: str) -> Any:
    """See ``Client.get_result``."""
    handle = client.get(task_id)
    status = handle.status()
    if status not in ENDED:
        raise TaskPending(f"task {handle.id} is {status}; wait for it with client.get(id).result(timeout=...)")
    return handle.result()
