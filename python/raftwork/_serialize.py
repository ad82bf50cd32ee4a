"""Functions and arguments into bytes, results and exceptions out of them.

Arguments and results go through pickle, which is fast, and through dill where pickle does not know a type or would
refer to ``__main__``, which means nothing on a worker. Functions always go through dill with ``recurse=True``: it takes
along exactly the globals that they use.
"""

import inspect
import io
import json
import pickle
import sys
import types
from typing import Any, Callable, Dict, List, Sequence, Tuple

from .errors import SerializationError

#: A function larger than this has probably captured data that belongs into its arguments.
LARGE_FUNCTION = 1 << 20


def dump_function(function: Callable[..., Any]) -> bytes:
    """Pickle a function by value where that is possible; raise ``SerializationError`` naming what cannot be pickled."""
    import dill

    try:
        data = dill.dumps(function, recurse=True)
    except Exception as error:
        raise SerializationError(_explain(function, error)) from error
    assert isinstance(data, bytes)
    return data


def dump_arguments(args: Sequence[Any], kwargs: Dict[str, Any]) -> bytes:
    """Pickle the pair ``(args, kwargs)``."""
    pair = (tuple(args), kwargs)
    try:
        data = pickle.dumps(pair, protocol=5)
        if b"__main__" not in data:
            return data
    except Exception:
        # dill knows more types; if it does not either, its error is the one to show.
        pass
    import dill

    try:
        data = dill.dumps(pair, protocol=5, recurse=True)
    except Exception as error:
        raise SerializationError(_explain_arguments(args, kwargs, error)) from error
    assert isinstance(data, bytes)
    return data


def load(data: bytes) -> Any:
    """Decode a result: a pickle, or the JSON of a function that was given as source text.

    Classes of the submitting script come back as that script's own, so that ``except`` and ``isinstance`` know them.
    """
    # Every pickle of protocol 2 or newer begins with this opcode, and no JSON does.
    if data[:1] != b"\x80":
        return json.loads(data)
    if b"dill" in data:
        return _Unpickler(io.BytesIO(data)).load()
    return pickle.loads(data)


class _Unpickler(pickle.Unpickler):
    """Loads what dill wrote; a class written by value is the one of that name in ``__main__``, if there is one."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("dill._dill", "_create_type"):
            return _class_here
        if (module, name) == ("__builtin__", "__main__"):
            # How dill names the namespace of the script.
            return sys.modules["__main__"].__dict__
        return super().find_class(module, name)


def _class_here(kind: Any, *args: Any) -> Any:
    import dill

    if len(args) == 3 and isinstance(args[2], dict) and args[2].get("__module__") == "__main__":
        known = getattr(sys.modules["__main__"], args[0], None)
        if isinstance(known, type):
            return known
    return dill._dill._create_type(kind, *args)


def captured(function: Callable[..., Any]) -> List[Tuple[str, Any]]:
    """The closure variables and globals that a function uses, with their names."""
    try:
        variables = inspect.getclosurevars(inspect.unwrap(function))
    except TypeError:
        return []
    return [*variables.nonlocals.items(), *variables.globals.items()]


def _explain(function: Callable[..., Any], error: Exception) -> str:
    name = getattr(function, "__qualname__", repr(function))
    for variable, value in captured(function):
        if not isinstance(value, types.ModuleType) and not _can_dill(value):
            return (
                f"cannot pickle function '{name}': it uses '{variable}', a {_type_name(value)}, which cannot be "
                f"pickled ({error}); make it inside the function, or pass what it is made from as an argument"
            )
    return f"cannot pickle function '{name}': {error}"


def _explain_arguments(args: Sequence[Any], kwargs: Dict[str, Any], error: Exception) -> str:
    named = [(f"argument {index}", value) for index, value in enumerate(args)]
    named += [(f"argument '{name}'", value) for name, value in kwargs.items()]
    for place, value in named:
        if not _can_dill(value):
            return f"cannot pickle {place}, a {_type_name(value)}: {error}"
    return f"cannot pickle the arguments: {error}"


def _can_dill(value: Any) -> bool:
    import dill

    try:
        dill.dumps(value, recurse=True)
    except Exception:
        return False
    return True


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
