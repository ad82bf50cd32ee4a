"""The function that a command line names: ``file.py:function`` or ``package.module:function``."""

import importlib
import os
import runpy
import sys
from typing import Any, Callable, Dict, List

from .._function import Function
from ._common import USAGE
from ._errors import CommandError


def load(target: str) -> Callable[..., Any]:
    """Load the function; raise ``CommandError`` saying what is missing."""
    place, separator, name = target.rpartition(":")
    if not separator or not name:
        raise CommandError(f"'{target}' is not file.py:function or package.module:function", USAGE)
    names = _of_file(place) if place.endswith(".py") else _of_module(place)
    value = names.get(name)
    if value is None:
        raise CommandError(f"{place} defines no '{name}'; it defines: {', '.join(_functions(names)) or 'no function'}")
    if not callable(value):
        raise CommandError(f"'{name}' in {place} is no function but a {type(value).__name__}")
    # A decorated function comes with a client of its own; here the command line says which cluster.
    return value._function if isinstance(value, Function) else value


def _of_file(path: str) -> Dict[str, Any]:
    if not os.path.isfile(path):
        raise CommandError(f"there is no file {path}")
    # As when Python runs a script, its neighbours can be imported.
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    try:
        # Not under a name that can be imported: its functions are then pickled by value, with what they use.
        return runpy.run_path(path, run_name="raftwork_script")
    except Exception as error:
        raise CommandError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error


def _of_module(name: str) -> Dict[str, Any]:
    sys.path.insert(0, os.getcwd())
    try:
        return vars(importlib.import_module(name))
    except Exception as error:
        raise CommandError(f"module {name} cannot be imported: {type(error).__name__}: {error}") from error


def _functions(names: Dict[str, Any]) -> List[str]:
    return sorted(name for name, value in names.items() if callable(value) and not name.startswith("_"))
