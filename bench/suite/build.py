"""Release builds of what is measured, copied away so that a later build changes nothing under a running measurement."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

from .places import BENCH, BINARIES, ROOT, TARGET
from .say import Failed, say


@dataclass(frozen=True)
class Binaries:
    """One build of Raftwork: the node, and a folder with the Python package and its extension."""

    folder: Path

    @property
    def raftworkd(self) -> Path:
        """The node daemon."""
        return self.folder / "raftworkd"

    @property
    def env(self) -> Dict[str, str]:
        """What Python needs to find this package before any other."""
        return {"PYTHONPATH": str(self.folder / "python")}

    def check(self) -> "Binaries":
        """Fails if it is not one."""
        for path in (self.raftworkd, self.folder / "python" / "raftwork" / "_core.abi3.so"):
            if not path.is_file():
                raise Failed(f"there is no {path}; let bench/run build it (leave out --no-build)")
        return self


def build() -> Binaries:
    """Builds the node and the extension, as ``scripts/setup`` does but optimized."""
    say("building Raftwork (release)")
    # In a target folder of its own: builds of another checkout or profile cannot be taken for this one.
    target = TARGET / "build"
    everything = ["--workspace", "--lib", "--bin", "raftworkd"]
    _cargo(["build", "--release", "--locked", "--target-dir", str(target), *everything], ROOT)
    release = target / "release"
    _copy(release / "raftworkd", BINARIES / "raftworkd")
    package = BINARIES / "python" / "raftwork"
    shutil.copytree(
        ROOT / "python" / "raftwork",
        package,
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
        dirs_exist_ok=True,
    )
    _copy(release / "lib_core.so", package / "_core.abi3.so")
    return Binaries(BINARIES)


def build_load() -> Path:
    """Builds the load generator, which is a workspace of its own."""
    target = TARGET / "load"
    say("building the load generator (release)")
    _cargo(["build", "--release", "--locked", "--target-dir", str(target)], BENCH / "load")
    return target / "release" / "raftwork-load"


def commit() -> str:
    """Which version of the sources is measured."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def _copy(source: Path, place: Path) -> None:
    """By rename: a process that runs keeps the file that it has mapped."""
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_name(place.name + ".tmp")
    shutil.copy2(source, aside)
    os.replace(aside, place)


def _cargo(arguments: List[str], folder: Path) -> None:
    told = subprocess.run(
        ["cargo", *arguments], cwd=folder, env={**os.environ, **_exports()}, capture_output=True, text=True, check=False
    )
    if told.returncode != 0:
        raise Failed(f"cargo {' '.join(arguments)} failed:\n{told.stderr[-3000:]}")


def _exports() -> Dict[str, str]:
    """What ``scripts/setup`` would have cargo know: where RocksDB was built, which Python is meant."""
    if "ROCKSDB_LIB_DIR" in os.environ:
        return {}
    script = "source scripts/setup --libraries >&2 && env -0"
    told = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, check=False)
    if told.returncode != 0:
        raise Failed(f"scripts/setup failed:\n{told.stderr.decode(errors='replace')[-3000:]}")
    pairs = (pair.partition("=") for pair in told.stdout.decode().split("\0") if "=" in pair)
    return {name: value for name, _, value in pairs}
