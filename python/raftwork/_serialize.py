"""Functions and arguments into bytes, results and exceptions out of them.

Arguments and results go through pickle, which is fast, and through dill where pickle does not know a type or would
refer to ``__main__``, which means nothing on a worker. Functions always go through dill with ``recurse=True``: it takes
along exactly the globals that they use.
"""

import io
import json
import pickle
import sys
from typing import Any, Callable, Dict, List, Sequence, Tuple

from ._references import collecting
from .errors import SerializationError

#: A pickled function or pickled arguments larger than this are warned of: every copy of them passes through the log of
#: every node.
LARGE = 1 << 20


def dump_function(function: Callable[..., Any]) -> bytes:
    """Pickle a function by value where that is possible; raise ``SerializationError`` naming what cannot be pickled."""
    import dill

    try:
        data = dill.dumps(function, recurse=True)
    except Exception as error:
        from ._explain import explain_function

        raise SerializationError(explain_function(function, error)) from error
    assert isinstance(data, bytes)
    return data


def dump_call(args: Sequence[Any], kwargs: Dict[str, Any]) -> Tuple[bytes, List[bytes]]:
    """As ``dump_arguments``, with handles as references to results; also return the ids of their tasks."""
    with collecting() as tasks:
        return dump_arguments(args, kwargs), list(tasks)


def dump_arguments(args: Sequence[Any], kwargs: Dict[str, Any]) -> bytes:
    """Pickle the pair ``(args, kwargs)``; raise ``SerializationError`` naming what cannot be pickled."""
    data = _dump_pair((tuple(args), kwargs))
    if len(data) > LARGE:
        from ._sizes import warn_of_arguments

        warn_of_arguments(args, kwargs, len(data))
    return data


def _dump_pair(pair: Tuple[Sequence[Any], Dict[str, Any]]) -> bytes:
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
        from ._explain import explain_arguments

        raise SerializationError(explain_arguments(*pair, error)) from error
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
