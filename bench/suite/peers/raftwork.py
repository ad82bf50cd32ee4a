"""Raftwork itself, behind the interface of the peers."""

from typing import Any, Dict, List, Optional, Tuple

from .. import load
from ..build import Binaries
from ..cluster import PYTHON, Cluster, Shape
from ..driver import Driver
from .base import SLOTS, Peer, Running, Work

#: How submissions are asked for: what the load generator is told, and how many are under way.
_LOADS: Dict[str, Tuple[str, Tuple[str, ...], int]] = {
    "batch": ("submit", ("--batch", "1000"), 4),
    "stream-1": ("submit", ("--batch", "1"), 1),
    "stream-64": ("submit", ("--batch", "1"), 64),
    "stream-256": ("submit", ("--batch", "1"), 256),
    "stream-1000": ("submit", ("--batch", "1"), 1000),
    "rest-1": ("rest", (), 1),
    "rest-64": ("rest", (), 64),
    "rest-256": ("rest", (), 256),
    "course-256": ("rest", ("--course",), 256),
}


def submissions(*names: str) -> Tuple[Work, ...]:
    """Works for the load generator."""
    return tuple(Work("submission", name, _how(name), generator=True) for name in names)


def all_submissions() -> Tuple[Work, ...]:
    """Every way to submit."""
    return submissions(*_LOADS)


def _how(name: str) -> str:
    system, options, in_flight = _LOADS[name]
    if system == "rest":
        path = "/execute_function" if options else "/v1/tasks"
        return f"POST {path}, {in_flight} connection{'s' * (in_flight != 1)}"
    return f"stream, {options[1]} a submit, {in_flight} in flight"


class Raftwork(Peer):
    """A cluster of release binaries, its Python client, and the load generator."""

    flushed = "yes"
    works = (
        Work("end_to_end", "end_to_end", "map"),
        Work("end_to_end", "by_batch", "POST /v1/tasks/batch, 1,000 each"),
        Work("latency", "latency", "submit + result"),
        *submissions("batch", "stream-1000", "stream-1", "rest-64", "rest-256"),
    )

    def __init__(self, binaries: Binaries, nodes: int = 3) -> None:
        self._binaries = binaries
        self._nodes = nodes
        self.name = "raftwork" if nodes == 3 else f"raftwork-{nodes}"
        self.title = f"Raftwork, {nodes} node{'s' * (nodes != 1)}"
        self.copies = str(nodes)

    def install(self) -> None:
        self._binaries.check()

    def start(self) -> "RunningRaftwork":
        return RunningRaftwork(self._binaries, Shape(nodes=self._nodes, workers=1, slots=SLOTS), self.name)


class RunningRaftwork(Running):
    """A cluster with a client."""

    def __init__(
        self, binaries: Binaries, shape: Shape, name: str = "raftwork", env: Optional[Dict[str, str]] = None
    ) -> None:
        self.cluster = Cluster(binaries, shape, name)
        self._env = {**binaries.env, "BENCH_URL": self.cluster.url, **(env or {})}
        try:
            self.driver = self.new_driver("client")
        except BaseException:
            self.cluster.stop()
            raise
        self.versions = self.driver.hello
        self._workers_run = True

    def new_driver(self, name: str) -> Driver:
        """A client; whoever asks for it stops it."""
        return Driver(PYTHON, "drive_raftwork.py", self.cluster.folder / name, self._env)

    def __enter__(self) -> "RunningRaftwork":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def components(self) -> Dict[str, List[int]]:
        return {"client": [self.driver.pid], **self.cluster.components()}

    def run(self, work: Work, size: int) -> Dict[str, Any]:
        if work.kind != "submission":
            return self.driver.run(work.workload, size)
        if self._workers_run:
            self._workers_run = False
            self.cluster.stop_workers()
        if not work.generator:
            return self.driver.run(work.workload, size)
        system, options, in_flight = _LOADS[work.workload]
        leader = self.cluster.urls[self.cluster.leader() - 1]
        where = ["--url", leader] if system == "rest" else ["--urls", self.cluster.url]
        return load.run(system, [*where, *options], in_flight, size / 1000)

    def stop(self) -> None:
        self.driver.stop()
        self.cluster.stop()
