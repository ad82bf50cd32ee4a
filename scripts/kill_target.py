"""The running cluster as kill.sh sees it: what `raftwork dev` started, and what the nodes say over HTTP."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable, TypeVar

from kill_checks import Kill

REQUEST_SECONDS = 10.0
"""Longest wait for one answer: longer than an election, so that a node has time to find the new leader."""

READY_SECONDS = 90.0
"""Longest wait for the cluster after a fault: restarts replay their logs, and the machine may be small."""

Answer = TypeVar("Answer")


class ClusterError(Exception):
    """The cluster cannot be used; the text says why and what to do."""


class Refused(Exception):
    """A node answered a request with an error, or not at all."""


@dataclass(frozen=True)
class Process:
    """A node or a worker of the cluster."""

    name: str
    pid: int
    url: str = ""
    """Base URL of a node; empty for a worker."""


def request(method: str, url: str, body: object | None = None) -> dict[str, object]:
    """Send one JSON request and return the answer.

    Raises `Refused` for every answer that is not a success, and for no answer.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    call = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(call, timeout=REQUEST_SECONDS) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise Refused(f"{method} {url}: {error.code} {error.read()[:200]!r}") from error
    except (OSError, ValueError) as error:
        raise Refused(f"{method} {url}: {error}") from error
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = {}  # health answers are for people
    return found if isinstance(found, dict) else {}


def items(answer: dict[str, object], key: str) -> list[dict[str, object]]:
    """Return the list of objects under a key."""
    found = answer.get(key)
    if not isinstance(found, list):
        raise Refused(f"an answer without {key}: {answer}")
    return found


def wait_for(what: str, attempt: Callable[[], Answer | None], seconds: float = READY_SECONDS) -> Answer:
    """Try until there is an answer, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = attempt()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {seconds:.0f} s for {what}; look into .raftwork/logs")
        time.sleep(0.05)


class Cluster:
    """A cluster that `raftwork dev` started in the current folder."""

    def __init__(self, command: Path) -> None:
        """Remember the `raftwork` program and ask it which processes there are."""
        self._command = str(command)
        self.nodes: list[Process] = []
        self.workers: list[Process] = []
        self._dead: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        """Ask again which processes there are: a restarted one has another id."""
        told = self._dev("status", "--json")
        try:
            found = [
                Process(one["name"], int(one["pid"] or 0), one["url"] or "") for one in json.loads(told)["processes"]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise ClusterError(f"`raftwork dev status --json` is not understood ({error}): {told[:200]}") from error
        self.nodes = [one for one in found if one.url]
        self.workers = [one for one in found if not one.url]
        if not any(node.pid for node in self.nodes):
            raise ClusterError("no cluster runs in this folder; start one: ./start.sh")

    def _dev(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._command, "dev", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise ClusterError(f"`raftwork dev {' '.join(arguments)}` failed: {said}")
        return done.stdout

    def leader(self) -> Process:
        """Wait until a node leads, and return it."""
        return wait_for("a leader", self._leader)

    def _leader(self) -> Process | None:
        for node in self.nodes:
            try:
                told = request("GET", f"{node.url}/v1/cluster")
            except Refused:
                continue
            urls = [one["url"] for one in items(told, "nodes") if one["id"] == told.get("leader")]
            found = [one for one in self.nodes if one.url in urls]
            if found:
                return found[0]
        return None

    def kill(self, processes: Sequence[Process]) -> list[Kill]:
        """Kill all of them at once, and return when.

        Remembers which workers the leader has to forget.
        """
        names = {one.name for one in processes if not one.url}
        if names:
            known = wait_for("the list of workers", self._known_workers)
            self._dead |= {str(one["worker_id"]) for one in known if one["name"] in names}
        begins = time.time()
        self._dev("kill", *(one.name for one in processes))
        return [Kill(one.name, one.pid, begins, time.time()) for one in processes]

    def restart(self, processes: Sequence[Process]) -> None:
        """Start all of them again, under their old names and with their old data."""
        self._dev("restart", *(one.name for one in processes))

    def wait_ready(self) -> None:
        """Wait until every node can serve and every worker is known to the leader."""
        for node in self.nodes:
            wait_for(f"{node.name} to be ready", partial(self._is_ready, node.url))
        wait_for(f"{len(self.workers)} workers to connect", self._workers_are_connected)
        self.refresh()

    @staticmethod
    def _is_ready(url: str) -> bool | None:
        try:
            request("GET", f"{url}/readyz")
        except Refused:
            return None
        return True

    def _workers_are_connected(self) -> bool | None:
        known = self._known_workers()
        if known is None:
            return None
        # A killed worker stays known until its time to live is over; the new one of that name has another id.
        names = {one["name"] for one in known if one["worker_id"] not in self._dead}
        return True if names >= {worker.name for worker in self.workers} else None

    def _known_workers(self) -> list[dict[str, object]] | None:
        try:
            return items(request("GET", f"{self.nodes[0].url}/v1/workers"), "workers")
        except Refused:
            return None

    def digests(self) -> dict[str, str]:
        """Wait until all nodes have applied the same entry, and return the digest of each node's state."""
        return wait_for("the nodes to apply the same entry", self._digests)

    def _digests(self) -> dict[str, str] | None:
        try:
            told = {node.name: request("GET", f"{node.url}/v1/cluster/digest") for node in self.nodes}
        except Refused:
            return None
        if len({one.get("applied") for one in told.values()}) > 1:
            return None
        return {name: str(one.get("digest")) for name, one in told.items()}
