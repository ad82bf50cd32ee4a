"""The functions that a child knows: loading them, keeping the recent ones, and keeping them apart.

A function is known by the hash of its payload, so an edited function is a new one and no stale
code can run. Every function sees its own ``__main__``: names that its payload put there are taken
away before a function of somebody else runs, and given back when it runs again.
"""

from __future__ import annotations

import builtins
import linecache
import sys
import types
from collections import OrderedDict
from typing import Any, Callable

import dill

from raftwork._context import TaskCancelled, TaskTimeout
from raftwork._runtime.environment import EnvironmentFailure, site_packages
from raftwork._runtime.frames import KIND_SOURCE
from raftwork._runtime.include import Include, Included, unpack

#: How many functions a child keeps. The agent counts in step (``functions.rs``), so that it knows
#: which functions it must send again.
LIMIT = 128

PYTHON = "Python {}.{}".format(*sys.version_info[:2])


class LoadFailure(Exception):
    """The function or its arguments could not be loaded; the text says why and what may help."""


class Function:
    """One function: its payload until it is loaded, then what to call."""

    __slots__ = ("call", "code", "include", "key", "kind", "main", "name")

    def __init__(self, key: bytes, kind: int, name: str, code: bytes) -> None:
        self.key = key
        self.kind = kind
        self.name = name
        # Dropped after the first successful load: the callable is enough from then on.
        self.code: bytes | None = code
        self.call: Callable[..., Any] | None = None
        # The modules that it has brought along.
        self.include: Include | None = None
        # What this function has put into ``__main__``, while another function runs.
        self.main: dict[str, Any] = {}

    @property
    def is_source(self) -> bool:
        """Whether the payload is source text with JSON arguments, not a pickle."""
        return self.kind == KIND_SOURCE


class FunctionTable:
    """The most recently used functions of one child."""

    def __init__(self) -> None:
        self._functions: OrderedDict[bytes, Function] = OrderedDict()
        self._current: Function | None = None
        self._main = sys.modules["__main__"].__dict__
        self._baseline = {
            "__name__": "__main__",
            "__doc__": None,
            "__package__": None,
            "__loader__": None,
            "__spec__": None,
            "__builtins__": builtins,
        }
        self._reset_main({})

    def add(self, function: Function) -> None:
        """Remember a function that the agent has sent, and forget the one unused for longest."""
        self._functions[function.key] = function
        self._functions.move_to_end(function.key)
        if len(self._functions) > LIMIT:
            _, old = self._functions.popitem(last=False)
            _forget_source(old)

    def enter(self, key: bytes) -> Function:
        """Return a known function and make ``__main__`` its own."""
        function = self._functions[key]
        self._functions.move_to_end(key)
        if function is not self._current:
            if self._current is not None:
                kept = self._baseline
                self._current.main = {k: v for k, v in self._main.items() if k not in kept}
                if self._current.include is not None:
                    self._current.include.deactivate()
            self._reset_main(function.main)
            if function.include is not None:
                function.include.activate()
            self._current = function
        return function

    def is_spent(self) -> bool:
        """Whether this process must run nothing else: it has loaded compiled modules of one function's own."""
        include = None if self._current is None else self._current.include
        return include is not None and include.is_native()

    def _reset_main(self, additions: dict[str, Any]) -> None:
        self._main.clear()
        self._main.update(self._baseline)
        self._main.update(additions)


def load(function: Function) -> Callable[..., Any]:
    """Return what to call, loading the payload the first time. Raises ``LoadFailure``."""
    if function.call is None:
        assert function.code is not None, "a payload is dropped only after it was loaded"
        try:
            loaded = _load_source(function) if function.is_source else _load_pickle(function, function.code)
        except (TaskTimeout, TaskCancelled, LoadFailure):
            raise
        except EnvironmentFailure as error:
            raise LoadFailure(str(error)) from error
        except BaseException as error:
            raise LoadFailure(explain("the function", error, not function.is_source)) from error
        if not callable(loaded):
            name = type(loaded).__name__
            raise LoadFailure(f"the function's payload holds an object of type '{name}', which cannot be called")
        function.call = loaded
        function.code = None
    return function.call


def _load_pickle(function: Function, code: bytes) -> Any:
    loaded = dill.loads(code)
    if not isinstance(loaded, Included):
        return loaded
    if function.include is None:
        # Made active here, because the function runs next; from then on, whenever it is entered.
        folders = [unpack(loaded.archive)] if loaded.archive else []
        if loaded.requirements:
            folders.append(site_packages(loaded.requirements))
        include = Include(folders)
        include.activate()
        function.include = include
    return dill.loads(loaded.code)


def explain(what: str, error: BaseException, pickled: bool = True) -> str:
    """Say why ``what`` could not be loaded, with the hint that most often helps."""
    text = f"{what} could not be loaded by {PYTHON}"
    if pickled:
        text += f" with dill {dill.__version__}"
    text += f": {type(error).__name__}: {error}"
    hint = hint_for(error)
    if hint:
        return f"{text}; {hint}"
    if pickled:
        text += "; a payload made by another version of Python or dill often fails like this"
    return text


def hint_for(error: BaseException) -> str:
    """What helps against an exception that has one common cause; empty for others."""
    if not isinstance(error, ModuleNotFoundError):
        return ""
    return (
        f"ship it along with @client.function(include=['{error.name}']), or start the worker with "
        "`raftwork worker --path DIR`, where DIR holds that module, or install it there"
    )


def _load_source(function: Function) -> Callable[..., Any]:
    """Execute source text as a module of its own and return its entry point."""
    assert function.code is not None, "a payload is dropped only after it was loaded"
    try:
        text = function.code.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LoadFailure(f"the function's source is not UTF-8 text: {error}") from error
    name = _module_name(function)
    filename = f"<raftwork {function.name or name}>"
    module = types.ModuleType(name)
    module.__file__ = filename
    # Tracebacks then show the lines of the source.
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    sys.modules[name] = module
    exec(compile(text, filename, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - that is the task
    return _entry_point(module, function.name)


def _entry_point(module: types.ModuleType, registered: str) -> Callable[..., Any]:
    """The function of the registered name, else the last public one that the source defines."""
    named: Callable[..., Any] | None = module.__dict__.get(registered)
    if named is not None and callable(named):
        return named
    defined = [
        value
        for name, value in module.__dict__.items()
        if isinstance(value, types.FunctionType) and value.__module__ == module.__name__ and not name.startswith("_")
    ]
    if not defined:
        raise LoadFailure(f"the source defines no function named '{registered}' and no other public function")
    return defined[-1]


def _module_name(function: Function) -> str:
    return "_raftwork_" + function.key[:8].hex()


def _forget_source(function: Function) -> None:
    if function.is_source:
        module = sys.modules.pop(_module_name(function), None)
        if module is not None:
            linecache.cache.pop(getattr(module, "__file__", ""), None)
