"""The zygote: a process with one thread and dill loaded, from which children are forked in 2 ms.

It talks to the agent over one packet socket, in JSON: ``fork`` comes in with four descriptors
(for the child's commands, answers, stdout, stderr); ``hello``, ``forked``, ``failed``, ``exited`` and ``notice``
go out. It is the parent of every child, so it alone can reap them: before it does, it kills
whatever is left of the child's process group, while the number cannot have been used again.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
from typing import Any, NoReturn

from raftwork._runtime import load, process

_PACKET_BYTES = 4096
_DESCRIPTORS = 4


class Zygote:
    """The zygote's loop and its living children."""

    def __init__(self, control: socket.socket, config: process.Config, config_text: str) -> None:
        self._control = control
        self._config = config
        self._config_text = config_text
        # Process ids of children that were not reaped yet.
        self._children: dict[int, int] = {}
        self._pid = os.getpid()
        self._stopping = False
        self._told_threads = False
        self._waker, self._wakes = socket.socketpair()
        for end in (self._waker, self._wakes):
            end.setblocking(False)

    def run(self) -> None:
        """Serve the agent until it goes away, then take every child along."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_terminate)
        self._send(hello(self._config))
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakes, select.POLLIN)
        while not self._stopping:
            ready = {fd for fd, _ in poll.poll()}
            if self._wakes.fileno() in ready:
                self._drain_wakes()
                self._reap()
            if self._control.fileno() in ready:
                self._serve_request()
        self._kill_all()

    def _serve_request(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, _PACKET_BYTES, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            data, fds = b"", []
        if not data:
            self._stopping = True
            return
        number = json.loads(data)["id"]
        try:
            self._make_child(number, fds)
        except OSError as error:
            self._send({"op": "failed", "id": number, "error": str(error)})
        finally:
            for fd in fds:
                os.close(fd)

    def _make_child(self, number: int, fds: list[int]) -> None:
        pid = self._exec_child(fds) if self._has_threads() else self._fork_child(fds)
        self._children[pid] = number
        self._send({"op": "forked", "id": number, "pid": pid}, _pidfd(pid))

    def _fork_child(self, fds: list[int]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                self._enter_child(fds)
            finally:
                os._exit(71)
        _set_group(pid)
        return pid

    def _enter_child(self, fds: list[int]) -> NoReturn:
        """Runs in the forked process: shed what belongs to the zygote and never come back."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        commands, answers, stdout, stderr = fds
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.dup2(commands, process.COMMANDS_FD, inheritable=False)
        os.dup2(answers, process.ANSWERS_FD, inheritable=False)
        for end in (self._control, self._waker, self._wakes):
            end.close()
        for fd in fds:
            os.close(fd)
        gc.enable()
        process.reseed()
        from raftwork._runtime.child import child_main

        child_main(self._pid, self._config.max_result)
        raise AssertionError("a child exits by itself")

    def _exec_child(self, fds: list[int]) -> int:
        """Start a child as a new program: slower, but right when this process has threads."""
        commands, answers, stdout, stderr = fds
        runtime = os.path.dirname(os.path.abspath(__file__))
        arguments = [sys.executable, runtime, "child", self._config_text, str(self._pid)]
        actions = [
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
            (os.POSIX_SPAWN_DUP2, commands, process.COMMANDS_FD),
            (os.POSIX_SPAWN_DUP2, answers, process.ANSWERS_FD),
        ]
        return os.posix_spawn(sys.executable, arguments, os.environ, file_actions=actions, setpgroup=0)

    def _has_threads(self) -> bool:
        """Whether a preloaded library has started threads, which a fork would cut in mid-work."""
        if len(os.listdir("/proc/self/task")) == 1:
            return False
        if not self._told_threads:
            self._told_threads = True
            modules = ", ".join(self._config.preload) or "a start-up file of this Python"
            text = f"{modules} started threads, so children are executed instead of forked (72 ms instead of 3)"
            self._send({"op": "notice", "text": text})
        return True

    def _reap(self) -> None:
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                break
            ours = info.si_pid in self._children
            if ours:
                _kill_group(info.si_pid)
            _, status, usage = os.wait4(info.si_pid, 0)
            if ours:
                del self._children[info.si_pid]
                report = {"op": "exited", "pid": info.si_pid, "status": status, "peak_kib": usage.ru_maxrss}
                self._send(report)
        self._kill_orphans()

    def _kill_orphans(self) -> None:
        """Kill what dead children left behind outside of their process group."""
        for pid in _own_children():
            if pid not in self._children:
                _kill(pid)

    def _kill_all(self) -> None:
        """End every child; the agent has gone, so nobody waits for their answers."""
        while True:
            for pid in _own_children():
                if pid in self._children:
                    _kill_group(pid)
                _kill(pid)
            try:
                pid, _ = os.wait()
            except ChildProcessError:
                return
            self._children.pop(pid, None)

    def _send(self, message: dict[str, Any], fd: int | None = None) -> None:
        data = json.dumps(message).encode()
        try:
            if fd is None:
                self._control.send(data)
            else:
                socket.send_fds(self._control, [data], [fd])
                os.close(fd)
        except ConnectionError:
            self._stopping = True

    def _on_terminate(self, *_: Any) -> None:
        self._stopping = True

    def _drain_wakes(self) -> None:
        try:
            while self._wakes.recv(4096):
                pass
        except BlockingIOError:
            pass


def hello(config: process.Config) -> dict[str, Any]:
    """Load what children need and say what this interpreter is, or why it cannot be used."""
    version: tuple[int, ...] = tuple(sys.version_info[:3])
    message: dict[str, Any] = {"op": "hello", "python": version, "dill": "", "problems": [], "error": ""}
    try:
        import dill

        load("frames", "include", "environment", "functions", "payloads", "child")
        message["dill"] = dill.__version__
    except ImportError as error:
        message["error"] = f"{error}; install it with: {sys.executable} -m pip install dill"
        return message
    for name in config.preload:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a module may raise anything
            message["problems"].append(f"cannot preload '{name}': {type(error).__name__}: {error}"[:500])
    gc.collect()
    # The collector then leaves these objects alone, and a child does not copy their pages.
    gc.freeze()
    return message


def main(config_text: str) -> None:
    """Entry point: the control socket is standard input."""
    gc.disable()
    config = process.Config.parse(config_text)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    control = socket.socket(fileno=_move_up(0))
    os.dup2(null, 0)
    # Keeps the numbers free until a child puts its pipes there.
    for number in (process.COMMANDS_FD, process.ANSWERS_FD):
        if null != number:
            os.dup2(null, number, inheritable=False)
    if null not in (process.COMMANDS_FD, process.ANSWERS_FD):
        os.close(null)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.collect_orphans()
    process.add_paths(config.paths)
    Zygote(control, config, config_text).run()
    os._exit(0)


def _move_up(fd: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def _pidfd(pid: int) -> int | None:
    """A handle of the child that can never mean another process; needs Linux 5.3."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _own_children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _set_group(pid: int) -> None:
    """Also done by the child itself; whoever is first, the group exists when either goes on."""
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
