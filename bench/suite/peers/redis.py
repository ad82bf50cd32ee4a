"""Redis, which several peers need."""

import os
from pathlib import Path
from typing import Dict, List

from ..install import debian_binary, debian_libraries, version_of
from ..processes import Group, Process, answers, free_ports

_PACKAGES = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1")


class Redis:
    """A server on empty data; ``aof_always`` has it flush before it answers a write."""

    def __init__(self, group: Group, folder: Path, aof_always: bool = False) -> None:
        (port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{port}/0"
        options = ["--port", port, "--bind", "127.0.0.1", "--dir", folder]
        if aof_always:
            options += ["--appendonly", "yes", "--appendfsync", "always"]
        group.add(Process("redis", [binary(), *options], folder, _env()))
        group.wait_for("redis", lambda: answers(port))

    @property
    def env(self) -> Dict[str, str]:
        """Tells drivers and workers where it is."""
        return {"BENCH_REDIS": self.url}


def binary() -> Path:
    """The server program."""
    return debian_binary("redis", "redis-server", _PACKAGES)


def version() -> str:
    """Such as ``7.0.15``."""
    told = version_of(binary(), ["--version"], _libraries())
    return next((word[2:] for word in told.split() if word.startswith("v=")), told)


def _libraries() -> str:
    known: List[str] = [folder for folder in (debian_libraries("redis"), os.environ.get("LD_LIBRARY_PATH")) if folder]
    return ":".join(known)


def _env() -> Dict[str, str]:
    return {"LD_LIBRARY_PATH": _libraries()} if _libraries() else {}
