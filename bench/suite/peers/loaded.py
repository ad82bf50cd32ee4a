"""What the load generator asks, and no driver in Python."""

from typing import Any, Dict, List, Sequence

from .. import load
from ..processes import Group
from .base import Running, Work


class Loaded(Running):
    """Servers that take writes; the workload is named after the writes that are under way at a time."""

    def __init__(self, group: Group, system: str, options: Sequence[object], versions: Dict[str, str]) -> None:
        self._group = group
        self._system = system
        self._options = list(options)
        self.versions = versions

    def components(self) -> Dict[str, List[int]]:
        """The servers; the generator lives as long as one run."""
        return {"servers": [process.pid for process in self._group.processes.values()]}

    def run(self, work: Work, size: int) -> Dict[str, Any]:
        """``size`` is the number of milliseconds to measure."""
        return load.run(self._system, self._options, int(work.workload), size / 1000)

    def stop(self) -> None:
        """Stops the servers."""
        self._group.stop()
