"""Measuring: processor time by component, and whether the machine was ours alone meanwhile."""

import os
import time
from dataclasses import dataclass, field
from typing import Dict, Iterator, Mapping, Sequence, Tuple

from . import proc
from .say import say

#: Cores that others may use while we measure.
QUIET_CORES = 0.1
_WINDOW = 1.0
_PACE_STEPS = 3_000_000

Components = Mapping[str, Sequence[int]]


@dataclass
class Usage:
    """What was used between two moments."""

    seconds: float = 0.0
    #: Seconds of processor time by component.
    cpu: Dict[str, float] = field(default_factory=dict)
    #: Cores that processes used which are not ours: above 0.1, distrust the figures beside it.
    other_cores: float = 0.0

    def per_item(self, items: float) -> Dict[str, float]:
        """Microseconds of processor time for each item, by component."""
        return {name: seconds / items * 1e6 for name, seconds in self.cpu.items()}


class Meter:
    """Takes the usage of a ``with`` block.

    A component is a list of root processes and means these with all that descend from them, less what another component
    names (so a worker's children can be told from the worker).
    """

    def __init__(self, components: Components) -> None:
        self._components = {name: list(pids) for name, pids in components.items()}
        self.usage = Usage()

    def __enter__(self) -> Usage:
        self._since = self._now()
        return self.usage

    def __exit__(self, *_: object) -> None:
        (began, cpu, busy, ours), (ended, cpu_now, busy_now, ours_now) = self._since, self._now()
        self.usage.seconds = ended - began
        # A component whose process was killed meanwhile has less than before: nothing can be said of it.
        self.usage.cpu = {name: max(0.0, cpu_now[name] - before) for name, before in cpu.items()}
        self.usage.other_cores = max(0.0, (busy_now - busy) - (ours_now - ours)) / max(ended - began, 1e-9)

    def _now(self) -> Tuple[float, Dict[str, float], float, float]:
        processes = proc.table()
        cpu = dict.fromkeys(self._components, 0.0)
        for pid, name in _owners(self._components, processes):
            cpu[name] += processes[pid].own + processes[pid].reaped
        return time.monotonic(), cpu, proc.machine_busy_seconds(), _ours(processes)


def _owners(components: Components, processes: Dict[int, proc.Entry]) -> Iterator[Tuple[int, str]]:
    """Each process that belongs to a component: the one of its nearest ancestor that is named, or of itself."""
    roots = {pid: name for name, pids in components.items() for pid in pids}
    for pid in processes:
        at = pid
        while at in processes and at not in roots:
            at = processes[at].parent
        if at in roots:
            yield pid, roots[at]


def _ours(processes: Dict[int, proc.Entry]) -> float:
    return proc.cpu_seconds(proc.family([os.getpid()], processes), processes)


def pace() -> float:
    """Millions of steps of a fixed loop per second, on one core: how fast the machine is just now.

    A virtual machine is slowed by its neighbours without any sign of it in its own processor times.
    """
    began = time.perf_counter()
    for _ in range(_PACE_STEPS):
        pass
    return _PACE_STEPS / (time.perf_counter() - began) / 1e6


def other_cores(window: float = _WINDOW) -> float:
    """Cores that processes use which are not ours."""
    with Meter({}) as usage:
        time.sleep(window)
    return usage.other_cores


def wait_until_quiet(patience: float) -> float:
    """Waits until others use less than ``QUIET_CORES``, as long as patience lasts; returns what they used last."""
    deadline = time.monotonic() + patience
    used = other_cores()
    told = False
    while used > QUIET_CORES and time.monotonic() < deadline:
        if not told:
            say(f"others use {used:.2f} cores; waiting up to {patience:.0f} s for a quiet machine")
            told = True
        used = other_cores()
    if used > QUIET_CORES:
        say(f"others still use {used:.2f} cores; measuring anyway, and saying so")
    return used
