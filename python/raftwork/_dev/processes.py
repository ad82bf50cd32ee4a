"""Starting, signalling and stopping the processes of a development cluster."""

import os
import signal
import subprocess
import time
from typing import Callable, List

from .layout import Cluster, Layout, Process

STOP_WITHIN = 15.0
LOG_TAIL_LINES = 20


def start(layout: Layout, process: Process) -> "subprocess.Popen[bytes]":
    """Starts a process in a session of its own, its output appended to its log."""
    with open(layout.log(process.name), "ab") as log:
        child = subprocess.Popen(
            process.command, cwd=layout.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    process.pid = child.pid
    return child


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    if pid <= 0:
        return False
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def send(process: Process, number: int) -> bool:
    """Signals a process; ``False`` if it is not there."""
    if not is_alive(process.pid):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], within: float, step: float = 0.05) -> bool:
    """Waits for a condition; ``False`` if it did not come true in time."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True


def stop_all(cluster: Cluster) -> None:
    """Stops the workers, then the nodes; kills what does not go."""
    for group in (cluster.workers(), cluster.nodes()):
        stop(group)


def stop(group: List[Process]) -> None:
    """Stops processes in order; kills what does not go."""
    for process in group:
        send(process, signal.SIGCONT)
        send(process, signal.SIGTERM)
    wait_until(lambda: not any(is_alive(process.pid) for process in group), STOP_WITHIN)
    for process in group:
        send(process, signal.SIGKILL)


def log_tail(layout: Layout, name: str) -> str:
    """The last lines of a process's log."""
    try:
        lines = layout.log(name).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(f"  | {line}" for line in lines[-LOG_TAIL_LINES:])
