"""Modules that travel with a function: unpacked once on each machine, importable while that function runs.

Two functions may bring different versions of one module. Each sees its own: what it has imported from its archive is
taken out of ``sys.modules`` before another function runs, and put back when it runs again.
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
from typing import Any


class Included:
    """What stands in the place of a function that brings modules: its pickle, and their archive."""

    def __init__(self, archive: bytes, code: bytes) -> None:
        self.archive = archive
        self.code = code


class Include:
    """The unpacked modules of one archive, and which of them are imported."""

    def __init__(self, archive: bytes) -> None:
        self.folder = unpack(archive)
        self._tops = {name.partition(".")[0] for name in os.listdir(self.folder)}
        # While another function runs: what was imported of them, and what they hide of this worker's own.
        self._modules: dict[str, types.ModuleType] = {}
        self._hidden: dict[str, types.ModuleType] = {}

    def activate(self) -> None:
        """Make the modules importable, in front of everything else."""
        self._hidden = self._take_out()
        sys.modules.update(self._modules)
        sys.path.insert(0, self.folder)
        importlib.invalidate_caches()

    def deactivate(self) -> None:
        """Take the modules away again."""
        if self.folder in sys.path:
            sys.path.remove(self.folder)
        self._modules = self._take_out()
        sys.modules.update(self._hidden)

    def _take_out(self) -> dict[str, Any]:
        names = [name for name in sys.modules if name.partition(".")[0] in self._tops]
        return {name: sys.modules.pop(name) for name in names}


def unpack(archive: bytes) -> str:
    """The folder with the files of an archive; made once for each machine and user, and found again by content."""
    parent = _cache_folder()
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


def _cache_folder() -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "raftwork", "include")
