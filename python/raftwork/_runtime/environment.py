"""Packages that a function asks for: one virtual environment for each list of them, built once on each machine.

The function runs in the worker's own interpreter, with the environment's packages in front of the worker's. A build
that was interrupted goes on where it was: pip leaves alone what is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys

from raftwork._runtime.include import cache_folder

_DONE = "complete"
#: Lines of pip's that say why it failed.
_LAST_LINES = 12


class EnvironmentFailure(Exception):
    """The environment could not be built; the text says why."""


def site_packages(requirements: tuple[str, ...]) -> str:
    """The folder with the packages, built if this machine has not seen the list before."""
    folder = os.path.join(cache_folder("environments"), _key(requirements))
    done = os.path.join(folder, _DONE)
    if not os.path.exists(done):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(os.path.join(folder, "lock"), "w") as lock:
            # Tasks that need the same one wait here for whoever builds it.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(done):
                _build(folder, requirements)
                with open(done, "w") as file:
                    file.write("\n".join(requirements) + "\n")
    version = "python{}.{}".format(*sys.version_info[:2])
    return os.path.join(folder, "venv", "lib", version, "site-packages")


def _key(requirements: tuple[str, ...]) -> str:
    text = "\n".join([sys.version, sys.prefix, *sorted(requirements)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _build(folder: str, requirements: tuple[str, ...]) -> None:
    print(f"raftwork: building an environment with {', '.join(requirements)}", file=sys.stderr, flush=True)
    venv, log = os.path.join(folder, "venv"), os.path.join(folder, "log")
    python = os.path.join(venv, "bin", "python")
    install = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *requirements]
    # What steers this interpreter would steer pip as well: warnings as errors, other folders to import from.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    for command in ([sys.executable, "-m", "venv", venv], install):
        with open(log, "wb") as output:
            status = subprocess.call(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
            )
        if status != 0:
            with open(log, errors="replace") as output:
                last = "".join(output.readlines()[-_LAST_LINES:])
            raise EnvironmentFailure(
                f"the environment with {', '.join(requirements)} could not be built; correct `requirements`, or "
                f"install them on the worker. The log is {log} there, and ends with:\n{last}"
            )
    print("raftwork: the environment is built", file=sys.stderr, flush=True)
