"""Several calls of one function in one task."""

import functools
import itertools
from typing import Any, Callable, Iterable, Iterator, List, Tuple


def chunks(calls: Iterable[Tuple[Any, ...]], size: int) -> Iterator[List[Tuple[Any, ...]]]:
    """Cut into lists of ``size``, the last one shorter."""
    source = iter(calls)
    while True:
        chunk = list(itertools.islice(source, size))
        if not chunk:
            return
        yield chunk


def run_chunk(function: Callable[..., Any]) -> "functools.partial[List[Any]]":
    """A function that takes a chunk and returns the list of its results."""
    return functools.partial(_call_each, getattr(function, "_function", function))


def _call_each(function: Callable[..., Any], calls: List[Tuple[Any, ...]]) -> List[Any]:
    return [function(*arguments) for arguments in calls]
