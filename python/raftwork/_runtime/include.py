"""Modules that are one function's own: importable while that function runs.

They travel with it in an archive, or are packages that it asks for. Two functions may have different versions of one
module. Each sees its own: what it has imported from there is taken out of ``sys.modules`` before another function runs,
and put back when it runs again.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import shutil
import sys
import tempfile
import types
import zipfile
from collections.abc import Sequence
from typing import Any


class Included:
    """What stands in the place of a function that has modules of its own: its pickle, and where they come from."""

    def __init__(self, code: bytes, archive: bytes = b"", requirements: Sequence[str] = ()) -> None:
        self.code = code
        self.archive = archive
        self.requirements = tuple(requirements)


class Include:
    """The folders with the modules of one function, and which of them are imported."""

    def __init__(self, folders: list[str]) -> None:
        self.folders = folders
        names = {name.partition(".")[0] for folder in folders for name in os.listdir(folder)}
        # The worker's own are used for these, whatever else came along.
        self._tops = names - {"raftwork", "dill", "pip", "setuptools", "_distutils_hack", "__pycache__"}
        self._native = False
        # While another function runs: what was imported of them, and what they hide of this worker's own.
        self._modules: dict[str, types.ModuleType] = {}
        self._hidden: dict[str, types.ModuleType] = {}

    def activate(self) -> None:
        """Make the modules importable, in front of everything else."""
        self._hidden = self._take_out()
        sys.modules.update(self._modules)
        sys.path[:0] = self.folders
        importlib.invalidate_caches()

    def deactivate(self) -> None:
        """Take the modules away again."""
        sys.path[:] = [place for place in sys.path if place not in self.folders]
        self._modules = self._take_out()
        sys.modules.update(self._hidden)

    def is_native(self) -> bool:
        """Whether compiled modules were imported: a process cannot load another version of those."""
        if not self._native:
            loaded = [module for name, module in sys.modules.items() if name.partition(".")[0] in self._tops]
            self._native = any(str(getattr(module, "__file__", "")).endswith(".so") for module in loaded)
        return self._native

    def _take_out(self) -> dict[str, Any]:
        names = [name for name in sys.modules if name.partition(".")[0] in self._tops]
        return {name: sys.modules.pop(name) for name in names}


def unpack(archive: bytes) -> str:
    """The folder with the files of an archive; made once for each machine and user, and found again by content."""
    parent = cache_folder("include")
    folder = os.path.join(parent, hashlib.sha256(archive).hexdigest()[:32])
    if os.path.isdir(folder):
        return folder
    os.makedirs(parent, mode=0o700, exist_ok=True)
    fresh = tempfile.mkdtemp(prefix=".new-", dir=parent)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(fresh)
    try:
        # By rename: children that unpack the same archive at once never see half of it.
        os.rename(fresh, folder)
    except OSError:
        # Another child was faster.
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def cache_folder(kind: str) -> str:
    """The folder of this user for what can be made again."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "raftwork", kind)
