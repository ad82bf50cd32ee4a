"""Dask distributed."""

from pathlib import Path

from ..driver import Driver
from ..install import environment
from ..processes import Group
from .base import SLOTS, Driven, Peer, Work


class Dask(Peer):
    """A ``LocalCluster``: the scheduler lives in the client's process, the workers are its children."""

    name, title, flushed, copies = "dask", "Dask distributed", "no", "1, in memory"
    works = (Work("end_to_end", "end_to_end", "map + gather"), Work("latency", "latency", ""))

    def install(self) -> None:
        self._python()

    def start(self) -> Driven:
        return Driven(Group(), Driver(self._python(), "drive_dask.py", self.folder, {"BENCH_SLOTS": str(SLOTS)}))

    def _python(self) -> Path:
        return environment("dask", ("distributed==2026.8.0",))
