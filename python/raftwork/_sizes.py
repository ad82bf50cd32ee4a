"""Warnings of large payloads, which name what makes them large."""

from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from ._explain import captured, kind_of
from ._warn import warn
from .errors import LargePayloadWarning

#: Payloads that are measured part by part, which takes as long as to pickle them; those after them are only warned of.
DESCRIBED_MAX = 8
_described_count = 0


def warn_of_function(function: Callable[..., Any], size: int) -> None:
    """A pickled function is over the size that deserves a word."""
    values = [(f"'{name}'", value) for name, value in captured(function) if not callable(value)]
    largest = _largest(values)
    captures = f"; it captures {_described(largest)}" if largest else ""
    name = getattr(function, "__qualname__", function)
    warn(
        f"function '{name}' takes {mebibytes(size)} pickled{captures}. "
        "Pass large data as arguments, or load it inside the function",
        LargePayloadWarning,
    )


def warn_of_arguments(args: Sequence[Any], kwargs: Dict[str, Any], size: int) -> None:
    """Pickled arguments are over the size that deserves a word."""
    values = [(f"argument {index}", value) for index, value in enumerate(args)]
    largest = _largest([*values, *((f"argument '{name}'", value) for name, value in kwargs.items())])
    most = f"; the largest is {_described(largest)}" if largest else ""
    warn(
        f"the arguments take {mebibytes(size)} pickled{most}. They are copied to every node; where workers share "
        "storage, pass a path instead",
        LargePayloadWarning,
    )


def mebibytes(size: int) -> str:
    """A size for people."""
    return f"{size / (1 << 20):.1f} MiB"


def _described(named: Tuple[str, Any, int]) -> str:
    name, value, size = named
    return f"{name}, {kind_of(value)} of {mebibytes(size)}"


def _largest(named: Sequence[Tuple[str, Any]]) -> Optional[Tuple[str, Any, int]]:
    import dill

    global _described_count
    _described_count += 1
    if _described_count > DESCRIBED_MAX:
        return None
    sized = [(name, value, _size(dill.dumps, value)) for name, value in named]
    return max(sized, key=lambda one: one[2], default=None)


def _size(dumps: Callable[[Any], bytes], value: Any) -> int:
    try:
        return len(dumps(value))
    except Exception:
        # It can be pickled in its place only.
        return 0
