"""Arguments in, results and exceptions out: the encodings of both kinds of function.

Functions made by dill take the pickled pair ``(args, kwargs)`` and return a pickle. Functions
given as source text take and return JSON.
"""

from __future__ import annotations

import json
import pickle
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import dill

from raftwork._context import TaskCancelled, TaskTimeout
from raftwork._names import class_name
from raftwork._runtime.functions import LoadFailure, explain, hint_for

Arguments = tuple[Sequence[Any], dict[str, Any]]

#: Longest message or traceback that is reported, in characters; the middle is left out.
TEXT_LIMIT = 65536


class ResultFailure(TypeError):
    """The function returned, but its result cannot be encoded."""


class ResultTooLarge(ValueError):
    """The function returned, but its encoded result is larger than the worker sends."""


def load_pickled_arguments(data: bytes) -> Arguments:
    """Decode a pickled pair ``(args, kwargs)``. Raises ``LoadFailure``."""
    try:
        pair = loads(data)
    except (TaskTimeout, TaskCancelled, LoadFailure):
        raise
    except BaseException as error:
        raise LoadFailure(explain("the arguments", error)) from error
    if (
        isinstance(pair, (tuple, list))
        and len(pair) == 2
        and isinstance(pair[0], (tuple, list))
        and isinstance(pair[1], dict)
    ):
        return pair[0], pair[1]
    raise LoadFailure(f"the arguments must be a pickled pair (args, kwargs), not '{type(pair).__name__}'")


def load_json_arguments(data: bytes, hook: Callable[[dict[str, Any]], Any] | None = None) -> Arguments:
    """Decode JSON arguments: ``{"args": [..], "kwargs": {..}}``, or a bare list, object or null.

    What ``hook`` makes of an object stands in its place.
    """
    try:
        value = json.loads(data, object_hook=hook) if data.strip() else None
    except ValueError as error:
        raise LoadFailure(f"the arguments are not JSON: {error}") from error
    if value is None:
        return (), {}
    if isinstance(value, list):
        return value, {}
    if not isinstance(value, dict):
        raise LoadFailure('the arguments must be a JSON list, object, null or {"args": [..], "kwargs": {..}}')
    if not value or not value.keys() <= {"args", "kwargs"}:
        return (), value
    args, kwargs = value.get("args", []), value.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise LoadFailure('"args" must be a JSON list and "kwargs" a JSON object')
    return args, kwargs


def dump_pickled_result(value: Any) -> bytes:
    """Encode a result: by pickle, which is fast, else by dill, which knows more types."""
    try:
        return _dumps(value)
    except (TaskTimeout, TaskCancelled):
        raise
    except Exception as error:
        name = type(value).__name__
        raise ResultFailure(
            f"the result of type '{name}' cannot be pickled: {type(error).__name__}: {error}; "
            "return plain data, or what the result is made from"
        ) from error


def dump_json_result(value: Any) -> bytes:
    """Encode the result of a source function as JSON."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        name = type(value).__name__
        raise ResultFailure(f"the result of type '{name}' cannot be written as JSON: {error}") from error


def dump_exception(error: BaseException, type_name: str, message: str, trace: str) -> bytes:
    """Pickle the exception itself if it survives a round trip, else one that carries its text."""
    if not _is_ours(error):
        data = _round_trip(error, error) or _round_trip(error, _Rebuilt(error))
        if data is not None:
            return data
    # A built-in class with attributes: every client can load it, with or without the package.
    substitute = RuntimeError(f"{type_name}: {message}")
    substitute.type_name = type_name  # type: ignore[attr-defined]
    substitute.traceback = trace  # type: ignore[attr-defined]
    return pickle.dumps(substitute, protocol=4)


class _Rebuilt:
    """An exception as its class, arguments and attributes.

    Exceptions unpickle by calling their class with ``args``. A class whose ``__init__`` takes other arguments than it
    passes on, which is common, fails there although nothing is wrong with it; this way ``__init__`` is not called.
    """

    def __init__(self, error: BaseException) -> None:
        self._parts = (BaseException.__new__, (type(error), *error.args), dict(error.__dict__))

    def __reduce__(self) -> tuple[Any, ...]:
        return self._parts


def _round_trip(error: BaseException, form: Any) -> bytes | None:
    """The pickle of ``form``, if it loads as an exception like ``error``."""
    try:
        data = _dumps(form)
        copy = dill.loads(data)
        same = type(copy).__name__ == type(error).__name__ and str(copy) == str(error)
    except BaseException:  # noqa: BLE001
        # Whatever the user's own pickling code raises, the task still gets its error.
        return None
    return data if same else None


def describe(error: BaseException) -> tuple[str, str, str]:
    """Return type name, message and traceback text of an exception, whatever its methods do.

    An exception that has one common remedy gets it as a note, which travels with it.
    """
    kind = type(error)
    name = class_name(kind)
    try:
        message = str(error)
    except BaseException as broken:  # noqa: BLE001 - user code, so anything
        message = f"<the exception's text is not available: {type(broken).__name__}>"
    hint = hint_for(error)
    if hint:
        message += f"; {hint}"
        # As ``add_note`` does, which older Pythons do not have.
        error.__dict__.setdefault("__notes__", []).append(hint)
    try:
        trace = "".join(traceback.format_exception(kind, error, _user_frames(error.__traceback__)))
    except BaseException as broken:  # noqa: BLE001 - user code, so anything
        trace = f"<the traceback is not available: {type(broken).__name__}>"
    return name, _shorten(message), _shorten(trace)


def bases_of(error: BaseException) -> list[str]:
    """Names of the classes that the exception's own is derived from, nearest first."""
    return [class_name(base) for base in type(error).__mro__[1:-1]]


def loads(data: bytes) -> Any:
    """Decode a pickle. Plain pickle takes 0.3 us where dill takes 4, and refuses what only dill can load."""
    try:
        return pickle.loads(data)
    except (TaskTimeout, TaskCancelled, LoadFailure):
        raise
    except Exception:  # noqa: BLE001 - dill then says what is wrong
        return dill.loads(data)


def _dumps(value: Any) -> bytes:
    try:
        plain = pickle.dumps(value, protocol=5)
    except (TaskTimeout, TaskCancelled):
        raise
    except Exception:  # noqa: BLE001 - dill then says what is wrong
        plain = None
    # A reference into ``__main__`` means nothing elsewhere; dill writes such classes by value.
    if plain is not None and b"__main__" not in plain:
        return plain
    data = dill.dumps(value, protocol=5, recurse=True)
    assert isinstance(data, bytes), "dumps without a file returns bytes"
    return data


def _is_ours(error: BaseException) -> bool:
    return type(error).__module__.startswith("raftwork.")


def _user_frames(trace: TracebackType | None) -> TracebackType | None:
    """Skip the frames of this runtime, which say nothing to the user."""
    first = trace
    while trace is not None and trace.tb_frame.f_globals.get("__package__") == __package__:
        trace = trace.tb_next
    return trace or first


def _shorten(text: str) -> str:
    if len(text) <= TEXT_LIMIT:
        return text
    half = TEXT_LIMIT // 2
    return f"{text[:half]}\n... {len(text) - TEXT_LIMIT} characters left out ...\n{text[-half:]}"
