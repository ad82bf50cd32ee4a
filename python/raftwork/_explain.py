"""Why something cannot be pickled, and where in it the culprit is."""

import inspect
import types
from typing import Any, Callable, Dict, Iterator, List, Sequence, Set, Tuple

#: How deep the culprit is looked for, and among how many objects: looking must not take long.
DEPTH_MAX = 12
OBJECTS_MAX = 2000

Child = Tuple[str, Any]


def explain_function(function: Callable[..., Any], error: Exception) -> str:
    """Say which variable of a function cannot be pickled, and what to do."""
    name = getattr(function, "__qualname__", repr(function))
    for variable, value in captured(function):
        if not isinstance(value, types.ModuleType) and not can_dill(value):
            place, culprit = locate(f"'{variable}'", value)
            return (
                f"cannot pickle function '{name}': it uses {place}, {kind_of(culprit)}, which cannot be pickled "
                f"({error}); make it inside the function, or pass what it is made from as an argument"
            )
    return f"cannot pickle function '{name}': {error}"


def explain_arguments(args: Sequence[Any], kwargs: Dict[str, Any], error: Exception) -> str:
    """Say which part of which argument cannot be pickled."""
    named = [(f"argument {index}", value) for index, value in enumerate(args)]
    named += [(f"argument '{name}'", value) for name, value in kwargs.items()]
    for argument, value in named:
        if not can_dill(value):
            place, culprit = locate(argument, value)
            return (
                f"cannot pickle {place}, {kind_of(culprit)}: {error}; pass what it is made from, "
                "and make it inside the function"
            )
    return f"cannot pickle the arguments: {error}"


def locate(place: str, value: Any) -> Child:
    """The innermost object in ``value`` that cannot be pickled, and the way to it in Python's own words."""
    seen: Set[int] = {id(value)}
    for _ in range(DEPTH_MAX):
        for step, child in children(value):
            if id(child) in seen or len(seen) > OBJECTS_MAX:
                continue
            seen.add(id(child))
            if not can_dill(child):
                place, value = place + step, child
                break
        else:
            break
    return place, value


def children(value: Any) -> Iterator[Child]:
    """What an object is made of, each part with how it is written."""
    from ._handle import Handle

    if isinstance(value, Handle) or isinstance(getattr(value, "_handle", None), Handle):
        # It is not pickled by what it is made of.
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"[{_short(key)}]", item
            yield f"'s key {_short(key)}", key
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif isinstance(value, (set, frozenset)):
        for item in value:
            yield f"'s element {_short(item)}", item
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, types.FunctionType):
        for variable, item in captured(value):
            if not isinstance(item, types.ModuleType):
                yield f"'s variable '{variable}'", item
    elif not isinstance(value, (type, types.ModuleType)):
        for name, item in getattr(value, "__dict__", {}).items():
            yield f".{name}", item
        for name in getattr(type(value), "__slots__", ()):
            if isinstance(name, str) and hasattr(value, name):
                yield f".{name}", getattr(value, name)


def captured(function: Callable[..., Any]) -> List[Child]:
    """The closure variables and globals that a function uses, with their names."""
    try:
        variables = inspect.getclosurevars(inspect.unwrap(function))
    except (TypeError, ValueError):
        # No Python function, or one whose variables have no value yet.
        return []
    return [*variables.nonlocals.items(), *variables.globals.items()]


def can_dill(value: Any) -> bool:
    """Whether dill can pickle a value."""
    import dill

    try:
        dill.dumps(value, recurse=True)
    except Exception:
        return False
    return True


def kind_of(value: Any) -> str:
    """What a value is, as in ``a socket.socket``."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return ("an " if name[0] in "aeiou" else "a ") + name


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
    return text if len(text) <= 40 else text[:37] + "..."
