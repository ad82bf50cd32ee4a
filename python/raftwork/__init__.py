"""Raftwork runs Python functions on a cluster that does not lose them.

>>> from raftwork import Client
>>> client = Client()                       # $RAFTWORK_URL, else http://127.0.0.1:7001
>>> @client.function(retries=3, timeout="30s")
... def add(a: int, b: int) -> int:
...     return a + b
>>> add(1, 2)                               # a plain local call: no cluster needed
3
>>> handle = add.submit(1, 2)               # durable on a majority of nodes when this returns
>>> handle.result(timeout=10)
3
>>> list(add.map(range(1000), 5))           # one stream of submits, results in order

Names are loaded when they are first used, so that ``import raftwork`` costs next to nothing.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

# As type checkers know it from ``typing``, which takes longer to load than all of this.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from ._async import AsyncClient, AsyncFunction, AsyncHandle, AsyncMapResults
    from ._async_limits import AsyncLimits
    from ._async_schedules import AsyncSchedule, AsyncSchedules
    from ._client import Client
    from ._context import Task, TaskCancelled, TaskTimeout, current_task
    from ._executor import Executor
    from ._function import Function
    from ._handle import Handle
    from ._limits import Limits
    from ._map import MapResults
    from ._schedules import Schedule, Schedules
    from .errors import (
        AlreadyFinished,
        ClientClosed,
        ClusterError,
        Conflict,
        DependencyFailed,
        LargePayloadWarning,
        MissingModuleWarning,
        NotRedrivable,
        NoWorkerWarning,
        RaftworkError,
        RaftworkWarning,
        Rejected,
        RemoteTraceback,
        SerializationError,
        TaskCancelledError,
        TaskCrashed,
        TaskError,
        TaskExpired,
        TaskFailed,
        TaskLoadError,
        TaskOutOfMemory,
        TaskPending,
        TooLarge,
        Unavailable,
        UnknownFunction,
        UnknownLimit,
        UnknownMap,
        UnknownSchedule,
        UnknownTask,
        WorkerFailure,
        WorkerLost,
    )

_PLACES: dict[str, list[str]] = {
    "._async": ["AsyncClient", "AsyncFunction", "AsyncHandle", "AsyncMapResults"],
    "._async_limits": ["AsyncLimits"],
    "._async_schedules": ["AsyncSchedule", "AsyncSchedules"],
    "._client": ["Client"],
    "._context": ["Task", "TaskCancelled", "TaskTimeout", "current_task"],
    "._executor": ["Executor"],
    "._function": ["Function"],
    "._handle": ["Handle"],
    "._limits": ["Limits"],
    "._schedules": ["Schedule", "Schedules"],
    "._map": ["MapResults"],
    ".errors": [
        "AlreadyFinished",
        "ClientClosed",
        "ClusterError",
        "Conflict",
        "DependencyFailed",
        "LargePayloadWarning",
        "MissingModuleWarning",
        "NoWorkerWarning",
        "NotRedrivable",
        "RaftworkError",
        "RaftworkWarning",
        "Rejected",
        "RemoteTraceback",
        "SerializationError",
        "TaskCancelledError",
        "TaskCrashed",
        "TaskError",
        "TaskExpired",
        "TaskFailed",
        "TaskLoadError",
        "TaskOutOfMemory",
        "TaskPending",
        "TooLarge",
        "Unavailable",
        "UnknownFunction",
        "UnknownLimit",
        "UnknownSchedule",
        "UnknownMap",
        "UnknownTask",
        "WorkerFailure",
        "WorkerLost",
    ],
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "AlreadyFinished",
    "AsyncClient",
    "AsyncFunction",
    "AsyncHandle",
    "AsyncLimits",
    "AsyncMapResults",
    "AsyncSchedule",
    "AsyncSchedules",
    "Client",
    "ClientClosed",
    "ClusterError",
    "Conflict",
    "DependencyFailed",
    "Executor",
    "Function",
    "Handle",
    "LargePayloadWarning",
    "Limits",
    "MapResults",
    "MissingModuleWarning",
    "NoWorkerWarning",
    "NotRedrivable",
    "RaftworkError",
    "RaftworkWarning",
    "Rejected",
    "RemoteTraceback",
    "Schedule",
    "Schedules",
    "SerializationError",
    "Task",
    "TaskCancelled",
    "TaskCancelledError",
    "TaskCrashed",
    "TaskError",
    "TaskExpired",
    "TaskFailed",
    "TaskLoadError",
    "TaskOutOfMemory",
    "TaskPending",
    "TaskTimeout",
    "TooLarge",
    "Unavailable",
    "UnknownFunction",
    "UnknownLimit",
    "UnknownMap",
    "UnknownSchedule",
    "UnknownTask",
    "WorkerFailure",
    "WorkerLost",
    "current_task",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    place = _PLACE_OF.get(name)
    if place is None:
        raise AttributeError(f"module 'raftwork' has no attribute '{name}'")
    value = getattr(importlib.import_module(place, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
