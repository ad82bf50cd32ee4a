"""The interface of everything that is measured side by side."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from ..driver import Driver
from ..places import SCRATCH
from ..processes import Group

#: Worker processes, or slots, of every system.
SLOTS = 2


@dataclass(frozen=True)
class Work:
    """One thing to measure: a workload of a driver, or of the load generator."""

    #: ``end_to_end``, ``latency`` or ``submission``: which table it belongs to.
    kind: str
    #: As the driver names it.
    workload: str
    #: For people; how it is done if there are several ways.
    how: str
    #: Share of the usual number of items; less for what takes long.
    share: float = 1.0
    #: Done by the load generator: its size is the number of milliseconds to measure.
    generator: bool = False


class Running(ABC):
    """A system that was started."""

    #: Versions, known once it runs.
    versions: Dict[str, str]

    @abstractmethod
    def components(self) -> Dict[str, List[int]]:
        """Root processes by what they do: ``client``, ``servers``, ``workers``."""

    @abstractmethod
    def run(self, work: Work, size: int) -> Dict[str, Any]:
        """Does the work; the answer has ``items`` and ``seconds``, or ``milliseconds``, or percentiles."""

    @abstractmethod
    def stop(self) -> None:
        """Stops all of it."""


class Peer(ABC):
    """A system that is measured, before it is started."""

    #: As it is chosen on the command line.
    name: str
    #: As the table calls it.
    title: str
    #: Whether an acknowledged submission is on a disk.
    flushed: str
    #: Nodes that hold an acknowledged submission.
    copies: str
    #: What it can do.
    works: Sequence[Work]

    @abstractmethod
    def install(self) -> None:
        """Gets what is needed; raises ``Missing`` if it cannot be had."""

    @abstractmethod
    def start(self) -> Running:
        """Starts it on empty data."""

    @property
    def folder(self) -> Path:
        """Where its data is; emptied before each start."""
        return SCRATCH / self.name


class Driven(Running):
    """A system that a driver in Python asks."""

    def __init__(self, group: Group, driver: Driver, versions: Optional[Dict[str, str]] = None) -> None:
        self._group = group
        self._driver = driver
        self._workers_run = True
        self.versions = {**(versions or {}), **driver.hello}

    def components(self) -> Dict[str, List[int]]:
        """The client, and the processes of the group: those whose names begin with ``w`` are workers."""
        servers = [process.pid for name, process in self._group.processes.items() if not name.startswith("w")]
        parts = {"client": [self._driver.pid], "workers": self._group.pids("w"), "servers": servers}
        return {name: pids for name, pids in parts.items() if pids}

    def run(self, work: Work, size: int) -> Dict[str, Any]:
        """Has the driver do it. Nobody runs the tasks of a pure submission, so it comes last."""
        if work.kind == "submission" and self._workers_run:
            self._workers_run = False
            for name, process in self._group.processes.items():
                if name.startswith("w"):
                    process.stop()
        return self._driver.run(work.workload, size)

    def stop(self) -> None:
        """The client first."""
        self._driver.stop()
        self._group.stop()
