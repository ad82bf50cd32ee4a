"""What ``/proc`` says of processes and of the machine."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Set

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Fields of the first line of /proc/stat that are work: user, nice, system, irq, softirq, steal.
_BUSY = (0, 1, 2, 5, 6, 7)


@dataclass(frozen=True)
class Entry:
    """One process: times in seconds, memory in bytes."""

    pid: int
    parent: int
    #: With ``pid``, names a process for good.
    started: int
    own: float
    #: Time of children that have ended and were waited for.
    reaped: float
    resident: int
    is_zombie: bool


def entry(pid: int) -> Optional[Entry]:
    """One process, if it is there."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold anything, spaces and parentheses too.
    fields = text.rsplit(")", 1)[1].split()
    own = (int(fields[11]) + int(fields[12])) / _TICKS
    reaped = (int(fields[13]) + int(fields[14])) / _TICKS
    resident = int(fields[21]) * _PAGE
    return Entry(pid, int(fields[1]), int(fields[19]), own, reaped, resident, fields[0] == "Z")


def table() -> Dict[int, Entry]:
    """All processes of the machine."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    found = (entry(pid) for pid in pids)
    return {one.pid: one for one in found if one is not None}


def family(roots: Iterable[int], processes: Optional[Dict[int, Entry]] = None) -> Set[int]:
    """The given processes and all that descend from them."""
    processes = table() if processes is None else processes
    children: Dict[int, List[int]] = {}
    for one in processes.values():
        children.setdefault(one.parent, []).append(one.pid)
    found: Set[int] = set()
    waiting = [root for root in roots if root in processes]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def cpu_seconds(pids: Iterable[int], processes: Dict[int, Entry]) -> float:
    """Processor time of these processes, and of their children that have ended."""
    return sum(processes[pid].own + processes[pid].reaped for pid in pids if pid in processes)


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident memory of these processes; what they share is counted for each."""
    return sum(one.resident for one in map(entry, pids) if one is not None)


def machine_busy_seconds() -> float:
    """Processor time that the machine has spent on anything, and that others took from a virtual one."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(fields[index]) for index in _BUSY) / _TICKS


def is_alive(pid: int) -> bool:
    """Whether a process runs (one that has ended and was not waited for does not)."""
    one = entry(pid)
    return one is not None and not one.is_zombie


def kill_all(entries: Iterable[Entry]) -> None:
    """Kills those of the processes that are still the same ones."""
    for one in entries:
        now = entry(one.pid)
        if now is not None and now.started == one.started:
            try:
                os.kill(one.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
