"""The load that runs while processes are killed: tasks of 0.1 to 5 seconds, through the course contract alone."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Callable

import dill

from kill_checks import Accepted, Ending, Execution
from kill_target import ClusterError, Process, Refused, request, wait_for

SHORTEST, LONGEST = 0.1, 5.0
"""Seconds that a task takes."""


def work(number: int, seconds: float, ledger: str) -> int:
    """Note the execution in the ledger, take the given time, and return what `right_result` says.

    Runs in a worker, where this file is not: it brings everything along.
    """
    import json
    import os
    import time

    from raftwork import current_task

    def parent(pid: int) -> int:
        with open(f"/proc/{pid}/stat") as stat:
            # The name in parentheses may hold anything; the parent's id is the second field after it.
            return int(stat.read().rpartition(")")[2].split()[1])

    pids = [os.getpid()]
    while pids[-1] > 1:
        pids.append(parent(pids[-1]))
    task = current_task()
    if task is None:
        raise RuntimeError("not run by a worker")
    line = {
        "task": task.id,
        "number": number,
        "token": task.token,
        "pids": pids[:-1],
        "started": time.time(),
    }
    # One short write to a file opened for appending is whole, whoever else writes.
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, (json.dumps(line) + "\n").encode())
    os.close(file)
    time.sleep(seconds)
    return number * number + 7


def encode(value: object) -> str:
    """Write a value as the course contract does."""
    return base64.encodebytes(dill.dumps(value, recurse=True)).decode()


def decode(text: str) -> object:
    """Read a value; what cannot be read is shown as what it was."""
    try:
        return dill.loads(base64.decodebytes(text.encode()))
    except Exception as error:  # a damaged result may raise anything
        return f"unreadable ({error}): {text[:40]}"


def read_ledger(ledger: Path) -> list[Execution]:
    """Return all executions that tasks noted."""
    if not ledger.exists():
        return []
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    return [Execution(one["task"], one["number"], one["token"], tuple(one["pids"]), one["started"]) for one in lines]


class Load:
    """Keeps a number of tasks unfinished until it is told to stop, and notes how each ended."""

    def __init__(self, nodes: Sequence[Process], outstanding: int, ledger: Path, seed: int) -> None:
        """Prepare; nothing is sent before `start`."""
        self._urls = {node.url: node.name for node in nodes}
        self._outstanding = outstanding
        self._ledger = str(ledger)
        self._random = random.Random(seed)
        self._function = ""
        self._next_number = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._broken: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._unfinished: dict[str, Accepted] = {}
        self.accepted: list[Accepted] = []
        self.refused = 0
        self.endings: dict[str, list[Ending]] = {}

    def start(self) -> None:
        """Register the function and begin."""
        # By value: workers cannot import this file.
        work.__module__ = "__main__"
        body = {"name": "work", "payload": encode(work)}
        self._function = wait_for("a node to register a function", partial(self._register, body))
        for role in (self._submit_steadily, self._collect_steadily):
            thread = threading.Thread(target=self._guarded, args=(role,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _register(self, body: dict[str, str]) -> str | None:
        try:
            return str(request("POST", f"{self._any_url()}/register_function", body)["function_id"])
        except Refused:
            return None

    def _guarded(self, role: Callable[[], None]) -> None:
        try:
            role()
        except BaseException as error:  # told to the main thread, which would wait in vain otherwise
            self._broken.append(error)

    def _any_url(self) -> str:
        return random.choice(list(self._urls))

    def _submit_steadily(self) -> None:
        while not self._stopping.is_set():
            if len(self._unfinished) < self._outstanding:
                self.submit()
            else:
                time.sleep(0.02)

    def submit(self) -> bool:
        """Submit one task to any node; say whether it was acknowledged.

        Without an answer it is not known whether the task exists; it may run, but nobody may count on it.
        """
        with self._lock:
            number, self._next_number = self._next_number, self._next_number + 1
            # Many short tasks and a few long ones.
            seconds = SHORTEST + (LONGEST - SHORTEST) * self._random.random() ** 3
        body = {
            "function_id": self._function,
            "payload": encode(((number, seconds, self._ledger), {})),
        }
        try:
            task_id = str(request("POST", f"{self._any_url()}/execute_function", body)["task_id"])
        except Refused:
            self.refused += 1
            time.sleep(0.05)
            return False
        task = Accepted(task_id, number)
        with self._lock:
            self.accepted.append(task)
            self._unfinished[task_id] = task
        return True

    def _collect_steadily(self) -> None:
        while not self._stopping.is_set() or self._unfinished:
            with self._lock:
                waiting = list(self._unfinished)
            for task_id in waiting:
                ending = self._ending(self._any_url(), task_id)
                if ending is not None:
                    self.endings[task_id] = [ending]
                    with self._lock:
                        del self._unfinished[task_id]
            time.sleep(0.1)

    def _ending(self, url: str, task_id: str) -> Ending | None:
        """How the task ended, if the node says that it has."""
        try:
            told = request("GET", f"{url}/result/{task_id}")
            if told["status"] not in ("COMPLETED", "FAILED"):
                return None
            info = request("GET", f"{url}/v1/tasks/{task_id}")
        except Refused:
            return None
        finished = info.get("finished_at")
        return Ending(
            self._urls[url],
            str(told["status"]),
            int(str(info.get("token", 0))),
            None if finished is None else str(finished),
            decode(str(told["result"])),
        )

    def stop(self, seconds: float) -> None:
        """Submit nothing more, and wait until everything has ended or the time is over."""
        self._stopping.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._broken:
            raise ClusterError(f"the load broke down: {self._broken[0]!r}") from self._broken[0]

    def ask_every_node(self) -> None:
        """Ask every node once more how each task ended."""
        for task_id, endings in list(self.endings.items()):
            for url, name in self._urls.items():
                told = wait_for(
                    f"{name} to tell how {task_id} ended",
                    partial(self._ending, url, task_id),
                )
                endings.append(told)

    def finished(self) -> int:
        """Count the tasks that have ended."""
        return len(self.endings)
