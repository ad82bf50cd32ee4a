"""A Raftwork cluster of release binaries on this machine."""

import json
import shutil
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from . import proc
from .build import Binaries
from .places import SCRATCH, VENV
from .processes import Group, Process, fetch, free_ports

PYTHON = VENV / "bin" / "python"
_PROBE = json.dumps({"name": "ready", "format": "source", "code": "def ready():\n    return True\n"}).encode()
#: Counters of a node that are of interest here, in its /metrics under ``raftwork_..._total``.
COUNTERS = ("log_fsyncs", "log_bytes", "log_records", "proposed_entries", "proposed_commands", "proposed_bytes")


@dataclass(frozen=True)
class Shape:
    """What a cluster consists of."""

    nodes: int = 3
    workers: int = 1
    #: Slots of each worker.
    slots: int = 2
    mode: str = "push"
    #: Lines for ``cluster.toml``, by table.
    settings: Dict[str, Dict[str, Any]] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        slots = self.workers * self.slots
        return f"{self.nodes} node{'s' * (self.nodes != 1)}, {slots} slot{'s' * (slots != 1)}, {self.mode}"


class Cluster:
    """Started by construction, stopped by ``stop``; also a context manager."""

    def __init__(self, binaries: Binaries, shape: Optional[Shape] = None, name: str = "raftwork") -> None:
        self.binaries = binaries
        self.shape = shape or Shape()
        self.folder = SCRATCH / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.ports = free_ports(self.shape.nodes)
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        self.group = Group()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """All nodes, as clients take them."""
        return ",".join(self.urls)

    def _start(self) -> None:
        self._write_config()
        for number in range(1, self.shape.nodes + 1):
            command = [self.binaries.raftworkd, "serve", "--config", self.folder / "cluster.toml", "--node", number]
            self.group.add(Process(f"n{number}", command, self.folder))
        self.wait_until_ready()
        for number in range(1, self.shape.workers + 1):
            self.add_worker(f"w{number}")
        self.group.wait_for("the workers to connect", lambda: self.connected() >= self.shape.workers)

    def add_worker(self, name: str) -> Process:
        """Starts one more worker."""
        shape = self.shape
        command: List[object] = [PYTHON, "-m", "raftwork", "worker", "--url", self.url, "--name", name]
        command += ["--mode", shape.mode, "--slots", shape.slots]
        return self.group.add(Process(name, command, self.folder, self.binaries.env))

    def stop(self) -> None:
        """Stops everything and removes its data."""
        self.group.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop_workers(self) -> None:
        """Leaves the nodes alone."""
        for name, process in self.group.processes.items():
            if name.startswith("w"):
                process.stop()

    def node(self, number: int) -> Process:
        """The process of a node."""
        return self.group.processes[f"n{number}"]

    def wait_until_ready(self, within: float = 120.0) -> None:
        """Waits until every node serves and a write is committed."""
        self.group.wait_for("the nodes to be ready", lambda: all(map(_is_ready, self.urls)), within)
        self.group.wait_for("a write to be committed", lambda: _commits(self.urls[0]), within)

    def leader(self) -> int:
        """Number of the node that leads."""
        found: Dict[str, Any] = {}

        def has_one() -> bool:
            found.update(self.view())
            return found.get("leader") is not None

        self.group.wait_for("a leader", has_one)
        return int(found["leader"])

    def view(self) -> Dict[str, Any]:
        """The cluster as the first node that answers knows it."""
        for url in self.urls:
            try:
                view: Dict[str, Any] = json.loads(fetch(f"{url}/v1/cluster", timeout=1.0))
                return view
            except (OSError, ValueError):
                continue
        return {}

    def connected(self) -> int:
        """Workers that the leader knows."""
        try:
            return len(json.loads(fetch(f"{self.urls[0]}/v1/workers"))["workers"])
        except (OSError, ValueError, KeyError):
            return 0

    def components(self) -> Dict[str, List[int]]:
        """Processes by what they do; workers apart from the children that run the functions."""
        leader = self.leader()
        workers = self.group.pids("w")
        children = [one.pid for one in proc.table().values() if one.parent in workers]
        followers = [self.node(number).pid for number in range(1, self.shape.nodes + 1) if number != leader]
        parts = {"leader": [self.node(leader).pid], "followers": followers, "worker": workers, "children": children}
        return {name: pids for name, pids in parts.items() if pids}

    def counters(self, number: int) -> Dict[str, int]:
        """What a node has counted since it was started."""
        text = fetch(f"{self.urls[number - 1]}/metrics").decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        values = dict(lines)
        return {name: int(values[f"raftwork_{name}_total"]) for name in COUNTERS}

    def disk_bytes(self, number: int) -> int:
        """Bytes in a node's data folder."""
        # Files come and go while one looks.
        sizes = []
        for path in (self.folder / f"n{number}").rglob("*"):
            try:
                sizes.append(path.stat().st_size if path.is_file() else 0)
            except FileNotFoundError:
                continue
        return sum(sizes)

    def _write_config(self) -> None:
        lines = ["[cluster]", 'name = "bench"']
        for table, settings in self.shape.settings.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
        for number, port in enumerate(self.ports, start=1):
            lines += ["[[node]]", f"id = {number}", f'addr = "127.0.0.1:{port}"', f'data = "n{number}"']
        (self.folder / "cluster.toml").write_text("\n".join(lines) + "\n")


def _is_ready(url: str) -> bool:
    try:
        return bool(json.loads(fetch(f"{url}/readyz", timeout=1.0))["ready"])
    except (OSError, ValueError, KeyError):
        return False


def _commits(url: str) -> bool:
    try:
        return bool(json.loads(fetch(f"{url}/v1/functions", _PROBE))["function_id"])
    except (OSError, ValueError, KeyError):
        return False
