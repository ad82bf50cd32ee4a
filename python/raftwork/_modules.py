"""Modules that a pickled function refers to: which of them are this machine's own, and packing them up.

Pickle writes a function or class of an importable module as the module's name. On a worker without that module, loading
fails: the commonest first failure of systems like this one.
"""

import importlib.util
import io
import os
import pickletools
import sys
import sysconfig
import types
import zipfile
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union, cast

from ._warn import warn
from .errors import MissingModuleWarning, SerializationError

#: Largest archive of included modules: it travels with the function, through the log of every node.
INCLUDE_BYTES_MAX = 16 << 20
#: The same bytes for the same files, so that a function keeps its identity: the first moment that an archive can name.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = ("__pycache__", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache")
Value = Union[None, str, Tuple[str, str]]
_IMPORT_MODULE = ("dill._dill", "_import_module")
#: On every worker by definition.
_OURS = {"raftwork", "dill", "_dill"}


def check_modules(name: str, code: bytes) -> None:
    """Warn of modules that the pickled function ``name`` needs, and that only this machine may have."""
    local = {module: place for module in modules_of(code) for place in [local_place(module)] if place}
    if not local:
        return
    described = ", ".join(f"'{module}' ({place})" for module, place in sorted(local.items()))
    wanted = ", ".join(repr(module) for module in sorted(local))
    warn(
        f"function '{name}' imports {described}, which workers may not have. Ship it along: "
        f"@client.function(include=[{wanted}]); or start workers with --path, and say include=[] to end this warning",
        MissingModuleWarning,
    )


def modules_of(code: bytes) -> Set[str]:
    """Top-level names of the modules that loading a pickle imports, without those that every worker has."""
    found: Set[str] = set()
    memo: Dict[int, Value] = {}
    # What the last opcodes have put onto the stack: strings, globals, or ``None`` for anything else.
    pushed: List[Value] = [None, None]
    for opcode, argument, _ in pickletools.genops(code):
        name = opcode.name
        if name == "MEMOIZE":
            memo[len(memo)] = pushed[-1]
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[cast(int, argument)] = pushed[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            _push(found, pushed, memo.get(cast(int, argument)))
        elif name == "STACK_GLOBAL":
            _push(found, pushed, (str(pushed[-2]), str(pushed[-1])))
        elif name == "GLOBAL":
            module, _, attribute = str(argument).partition(" ")
            _push(found, pushed, (module, attribute))
        else:
            _push(found, pushed, argument if isinstance(argument, str) else None)
    tops = {module.partition(".")[0] for module in found}
    return tops - _OURS - {"__main__", "__builtin__", "__mp_main__", "None"}


def _push(found: Set[str], pushed: List[Value], value: Value) -> None:
    if isinstance(value, tuple):
        found.add(value[0])
    elif isinstance(value, str) and pushed[-1] == _IMPORT_MODULE:
        # How dill writes a module that a function uses by its name.
        found.add(value)
    pushed[:] = [pushed[-1], value]


def local_place(module: str) -> Optional[str]:
    """Where a module of the user's own is; ``None`` for the standard library's and for installed ones."""
    if module in sys.builtin_module_names or module in getattr(sys, "stdlib_module_names", ()):
        return None
    loaded = sys.modules.get(module)
    place = getattr(loaded, "__file__", None) or next(iter(getattr(loaded, "__path__", [])), None)
    if not place:
        return None
    place = os.path.realpath(str(place))
    installed = ("site-packages", "dist-packages")
    if any(part in installed for part in place.split(os.sep)) or place.startswith(_standard_library()):
        return None
    return place


def _standard_library() -> str:
    return os.path.realpath(sysconfig.get_paths()["stdlib"]) + os.sep


def pack(names: Sequence[str]) -> bytes:
    """An archive of modules and packages, named as in ``import`` or by path; the same files give the same bytes."""
    files: Dict[str, str] = {}
    for name in names:
        files.update(_files_of(name))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for inside, place in sorted(files.items()):
            with open(place, "rb") as file:
                target.writestr(zipfile.ZipInfo(inside, _EPOCH), file.read(), zipfile.ZIP_DEFLATED)
    data = archive.getvalue()
    if len(data) > INCLUDE_BYTES_MAX:
        raise SerializationError(
            f"include={list(names)} makes {len(data) >> 20} MiB, more than {INCLUDE_BYTES_MAX >> 20}; "
            "install it on the workers, or put it into a folder that they share and start them with --path"
        )
    return data


def _files_of(name: str) -> Iterator[Tuple[str, str]]:
    """Pairs of the path in the archive and the path here."""
    places = _places_of(name)
    if not places:
        raise SerializationError(
            f"include=['{name}']: there is no such module or file here; name it as in `import {name}`, or by its path"
        )
    for place in places:
        if os.path.isdir(place):
            yield from _tree(place)
        else:
            yield os.path.basename(place), place


def _places_of(name: str) -> List[str]:
    if os.path.exists(name) and (os.sep in name or name.endswith(".py")):
        return [os.path.abspath(name)]
    top = name.partition(".")[0]
    module = sys.modules.get(top)
    spec = module.__spec__ if isinstance(module, types.ModuleType) else None
    try:
        spec = spec or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return list(spec.submodule_search_locations)
    return [spec.origin] if spec.origin and os.path.isfile(spec.origin) else []


def _tree(folder: str) -> Iterator[Tuple[str, str]]:
    parent = os.path.dirname(os.path.abspath(folder))
    for here, folders, names in os.walk(folder):
        folders[:] = _visible(folders)
        for name in _visible(names):
            if not name.endswith((".pyc", ".pyo")):
                place = os.path.join(here, name)
                yield os.path.relpath(place, parent), place


def _visible(names: Iterable[str]) -> List[str]:
    return sorted(name for name in names if name not in _LEFT_OUT)
