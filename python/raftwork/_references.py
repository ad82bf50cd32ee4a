"""Handles inside arguments: each is pickled as a reference to its task's result, which the worker puts in its place."""

import threading
from typing import Any, Callable, Dict, Optional, Tuple


class _Collected(threading.local):
    """The tasks that the arguments refer to which this thread pickles now; ``None`` while it pickles anything else."""

    ids: Optional[Dict[bytes, None]] = None


_collected = _Collected()


class collecting:
    """While this lasts, handles can be pickled; what it gives has the ids of their tasks."""

    def __enter__(self) -> Dict[bytes, None]:
        self._outer, _collected.ids = _collected.ids, {}
        return _collected.ids

    def __exit__(self, *_: object) -> None:
        _collected.ids = self._outer


def refer(id: bytes) -> Tuple[Callable[[bytes], Any], Tuple[bytes]]:
    """How the handle of a task is pickled."""
    if _collected.ids is None:
        raise TypeError(
            "a handle stands for its result in the arguments of a submit, and nowhere else: "
            "pass its id, and make a handle of it there with client.get(id)"
        )
    _collected.ids[id] = None
    return result_of, (id,)


def result_of(id: bytes) -> Any:
    """What a reference is loaded as, on the worker: the result of the task."""
    return resolve(id)


def nowhere(id: bytes) -> Any:
    """The resolver of processes that are given no results."""
    raise RuntimeError("results of other tasks are put in place on workers only")


#: What finds the result of a task while arguments are loaded.
resolve: Callable[[bytes], Any] = nowhere
