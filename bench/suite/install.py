"""Installing what is measured beside Raftwork, each peer into a folder of its own. Nothing needs root."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from .places import PEERS, VENV
from .say import Failed, say


class Missing(Failed):
    """A peer that cannot be had here; the table says so."""


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of a virtual environment that has these packages, made if need be."""
    return _environment(PEERS / name / "venv", requirements)


def own_environment(requirements: Path) -> Path:
    """The Python of the suite itself."""
    lines = [line.strip() for line in requirements.read_text().splitlines()]
    return _environment(VENV, [line for line in lines if line and not line.startswith("#")])


def _environment(folder: Path, requirements: Sequence[str]) -> Path:
    python, stamp = folder / "bin" / "python", folder / "requirements"
    wanted = "\n".join(requirements) + "\n"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    say(f"installing {', '.join(requirements)}")
    if not python.is_file():
        _run([sys.executable, "-m", "venv", str(folder)], folder.parent)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *requirements], folder)
    stamp.write_text(wanted)
    return python


def npm_package(name: str, package: str) -> Path:
    """The ``node_modules`` that has an npm package, pinned as ``name@version``."""
    folder = PEERS / name
    stamp = folder / "package"
    if not stamp.is_file() or stamp.read_text() != package:
        if shutil.which("npm") is None:
            raise Missing(f"npm is not on the path, and {package} comes from there")
        say(f"installing {package}")
        _run(["npm", "install", "--silent", "--no-save", "--prefix", str(folder), package], folder)
        stamp.write_text(package)
    return folder / "node_modules"


def debian_binary(name: str, program: str, packages: Sequence[str]) -> Path:
    """A program on the path, else from Debian packages that are unpacked and not installed."""
    found = shutil.which(program)
    if found:
        return Path(found)
    root = PEERS / name / "root"
    binary = root / "usr" / "bin" / program
    if not binary.exists():
        _unpack(PEERS / name, packages, root)
    if not binary.exists():
        raise Missing(f"{program} is neither on the path nor in the Debian packages {', '.join(packages)}")
    return binary


def debian_libraries(name: str) -> Optional[str]:
    """Where the libraries of unpacked Debian packages are, for LD_LIBRARY_PATH."""
    folders = sorted((PEERS / name / "root" / "usr" / "lib").glob("*-linux-gnu*"))
    return ":".join(map(str, folders)) or None


def _unpack(folder: Path, packages: Sequence[str], root: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise Missing(f"{', '.join(packages)}: not on the path, and there is no {tool} to fetch them with")
    say(f"fetching the Debian packages {', '.join(packages)}")
    _run(["apt-get", "download", *packages], folder)
    for archive in sorted(folder.glob("*.deb")):
        _run(["dpkg", "-x", str(archive), str(root)], folder)


def version_of(binary: Path, arguments: List[str], libraries: Optional[str] = None) -> str:
    """The first line that a program says of its version."""
    env = {"LD_LIBRARY_PATH": libraries} if libraries else None
    told = subprocess.run([str(binary), *arguments], capture_output=True, text=True, env=env, check=False)
    lines = (told.stdout or told.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


def _run(command: List[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if told.returncode != 0:
        end = "\n".join((told.stdout + told.stderr).strip().splitlines()[-5:])
        raise Missing(f"{' '.join(command)} failed: {end}")
