"""Names of classes of exceptions, written alike where they are raised and where they are expected.

The module imports nothing of the package, so that a child can load it without the SDK.
"""

from typing import Iterable, List, Type, Union

Exceptions = Union[str, Type[BaseException], Iterable[Union[str, Type[BaseException]]]]


def class_name(kind: type) -> str:
    """The qualified name of a class; without the module where everybody knows it."""
    module = kind.__module__
    known = module in ("builtins", "__main__") or module.startswith("raftwork.")
    return kind.__qualname__ if known else f"{module}.{kind.__qualname__}"


def exception_names(exceptions: Exceptions) -> List[str]:
    """The names of exceptions that are given as classes or by name; raise ``TypeError`` for anything else."""
    if isinstance(exceptions, (str, type)):
        exceptions = [exceptions]
    return [_name(one) for one in exceptions]


def _name(exception: object) -> str:
    if isinstance(exception, str):
        return exception
    if isinstance(exception, type) and issubclass(exception, BaseException):
        return class_name(exception)
    raise TypeError(f"{exception!r} is neither a class of exceptions nor the name of one")
