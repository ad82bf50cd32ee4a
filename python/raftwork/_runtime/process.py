"""What turns a fresh process into a child: descriptors, signals, limits and its ties to the parent.

The same steps serve a child that the zygote forked and one that it executed.
"""

from __future__ import annotations

import _signal
import ctypes
import faulthandler
import io
import json
import os
import signal
import sys
from typing import Any, Callable, NamedTuple, TextIO

#: The descriptors in every child of the pipes from the agent and to it.
COMMANDS_FD, ANSWERS_FD = 3, 4

SOFT_TIMEOUT_SIGNAL = signal.SIGUSR1

_P_ALL = 0
_ANY_STATE = os.WEXITED | os.WNOHANG | os.WNOWAIT

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

# Loaded before the fork, so that a child pays nothing for it.
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fflush.argtypes = [ctypes.c_void_p]
_libc.waitid.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_void_p, ctypes.c_int]


class Config(NamedTuple):
    """What the agent tells the zygote, and the zygote an executed child."""

    paths: list[str]
    """Folders to put in front of ``sys.path``."""

    preload: list[str]
    """Modules that the zygote imports before it forks."""

    max_result: int
    """Largest encoded result, in bytes."""

    @classmethod
    def parse(cls, text: str) -> Config:
        """Read the agent's JSON."""
        return cls(**json.loads(text))


def add_paths(paths: list[str]) -> None:
    """Put the user's folders in front of ``sys.path``, in their order."""
    sys.path[:0] = [path for path in paths if path not in sys.path]


def collect_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none escapes."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when ``parent`` dies; exit if it is already dead."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def become_child(parent: int) -> None:
    """Everything that does not depend on how this process was made; descriptors are in place."""
    die_with(parent)
    collect_orphans()
    _prefer_for_oom_kill()
    os.set_inheritable(COMMANDS_FD, False)
    os.set_inheritable(ANSWERS_FD, False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stdout = text_stream(1)
    sys.stderr = text_stream(2)
    # A crash in C code then leaves the Python traceback in the task's stderr.
    faulthandler.enable(file=2)


def flush_streams(stdout: TextIO, stderr: TextIO) -> None:
    """Write out everything that user code has printed, at the Python and at the C level."""
    own = sys.stdout is stdout and sys.stderr is stderr
    for stream in (stdout, stderr) if own else (sys.stdout, sys.stderr, stdout, stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001, S110
            # The task closed or replaced its own streams; that loses its output and nothing else.
            pass
    _libc.fflush(None)


def left_processes() -> bool:
    """Whether this process has children: running, or dead and not waited for."""
    # Not `os.waitid`: without children, which is nearly always, it takes 3 us to raise an error.
    found: int = _libc.waitid(_P_ALL, 0, None, _ANY_STATE)
    return found == 0


class Handlers:
    """Signal handlers of a child, put back before every task because user code may replace them."""

    def __init__(self, on_timeout: Callable[..., Any], on_terminate: Callable[..., Any]) -> None:
        self._wanted: tuple[tuple[int, Any], ...] = (
            (int(SOFT_TIMEOUT_SIGNAL), on_timeout),
            (int(signal.SIGTERM), on_terminate),
            (int(signal.SIGINT), signal.default_int_handler),
        )

    def install(self) -> None:
        """Install what is not installed."""
        for number, handler in self._wanted:
            # The plain function: the one of ``signal`` makes enums, at 1 us a call.
            if _signal.getsignal(number) != handler:
                signal.signal(number, handler)


def reseed() -> None:
    """Give a forked child its own random numbers where a library does not do so itself."""
    numpy: Any | None = sys.modules.get("numpy")
    random = getattr(numpy, "random", None)
    if random is not None:
        random.seed()


def text_stream(fd: int) -> TextIO:
    """Print to a descriptor line by line, so that the last line before a crash is not lost."""
    raw = open(fd, "wb", closefd=False)  # noqa: SIM115 - for the life of the process
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _prefer_for_oom_kill() -> None:
    """When memory runs out, the kernel shall take a child before the zygote or the agent."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        # Not permitted in some containers; the kernel then chooses by size alone.
        pass
