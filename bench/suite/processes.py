"""Starting and stopping what is measured."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from . import proc
from .say import Failed

_STOP_WITHIN = 10.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Process:
    """A child process in a session of its own, its output in a file."""

    def __init__(
        self,
        name: str,
        command: Sequence[object],
        folder: Path,
        env: Optional[Mapping[str, str]] = None,
        pipes: bool = False,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        folder.mkdir(parents=True, exist_ok=True)
        self._command = [str(word) for word in command]
        self._folder = folder
        self._env = {**os.environ, **(env or {})}
        self._pipe = subprocess.PIPE if pipes else None
        self.start()

    def start(self) -> None:
        """Starts it, or starts it again with the same command."""
        self._wanted = True
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._env,
                stdin=self._pipe or subprocess.DEVNULL,
                stdout=self._pipe or log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its number."""
        return self.child.pid

    def tail(self, lines: int = 15) -> str:
        """The end of its output."""
        return "\n".join(f"  | {line}" for line in self.log.read_text(errors="replace").splitlines()[-lines:])

    def check(self) -> None:
        """Fails if it has ended by itself."""
        if self._wanted and self.child.poll() is not None:
            raise Failed(f"{self.name} ended with {self.child.returncode}; its log ends so:\n{self.tail()}")

    def kill(self) -> None:
        """``kill -9``, and waits for its end."""
        self._wanted = False
        self.child.kill()
        self.child.wait()

    def stop(self) -> None:
        """Asks it to end; after a while kills it and all that descends from it."""
        self._wanted = False
        processes = proc.table()
        family = [processes[pid] for pid in proc.family([self.pid], processes)]
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(_STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self.kill()
        proc.kill_all(one for one in family if one.pid != self.pid)


class Group:
    """Several processes that are stopped together, the last one first."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.processes: Dict[str, Process] = {}

    @classmethod
    @contextmanager
    def starting(cls) -> Iterator["Group"]:
        """A new group, which is stopped again if the block fails."""
        group = cls()
        try:
            yield group
        except BaseException:
            group.stop()
            raise

    def add(self, process: Process) -> Process:
        """Takes a process in."""
        self.processes[process.name] = process
        self._stack.callback(process.stop)
        return process

    def on_stop(self, action: Callable[[], object]) -> None:
        """Has something done when the group is stopped, after what is added later."""
        self._stack.callback(action)

    def pids(self, *names: str) -> List[int]:
        """Numbers of the processes whose name begins with one of these."""
        return [process.pid for name, process in self.processes.items() if name.startswith(names)]

    def stop(self) -> None:
        """Stops all of them."""
        self._stack.close()

    def check(self) -> None:
        """Fails if one of them has ended by itself."""
        for process in self.processes.values():
            process.check()

    def wait_for(self, what: str, condition: Callable[[], bool], within: float = 60.0) -> None:
        """Waits for a condition; fails at once if a process ends meanwhile."""
        deadline = time.monotonic() + within
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                tails = "\n".join(process.tail(5) for process in self.processes.values())
                raise Failed(f"waited {within:.0f} s in vain for {what}; the logs end so:\n{tails}")
            time.sleep(0.05)


def free_ports(count: int) -> List[int]:
    """Ports of this machine that nobody listens on just now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def fetch(url: str, body: Optional[bytes] = None, timeout: float = 5.0) -> bytes:
    """GET, or POST of a JSON body; raises OSError if there is no good answer."""
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})
    with _DIRECT.open(request, timeout=timeout) as answer:
        return bytes(answer.read())
