"""What the machine does by itself: flushes a second, and whether it stands still now and then.

A virtual machine with a quota is stopped by its host when it has used the share of a period, its disk work included.
All processes stand still together then, and every percentile beyond the share of such pauses shows them, whatever is
measured. This experiment uses nothing of Raftwork: writers that flush, as three nodes do, and processes that count.
"""

import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple

from ..build import Binaries
from ..context import Context
from ..measure import wait_until_quiet
from ..places import SCRATCH
from ..report import Report, Table, number
from ..stats import median
from .base import Experiment

#: Processes that write and flush, and processes that only count.
_LOADS = ((1, 0), (3, 0), (0, 2), (1, 1), (3, 1))
#: A flush takes a tenth of that where it matters, and a scheduler's turn less.
_PAUSE_MS = 8.0
_BLOCK = b"x" * 4096
#: The file of a writer is overwritten round and round, as a log is whose files are used again.
_BLOCKS = 256


@dataclass
class _Seen:
    """What one process saw: how often it went round, and the pauses as (start, length), in milliseconds."""

    rounds: int
    pauses: List[Tuple[float, float]]


def run(context: Context, binaries: Binaries) -> Report:
    """Each load in turn."""
    seconds = 2.0 if context.quick else 5.0
    found = []
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        for writers, counters in _LOADS:
            wait_until_quiet(context.patience)
            found.append(_under(Path(folder), writers, counters, seconds))
    return Report([_table(found, seconds)], data=found)


def _under(folder: Path, writers: int, counters: int, seconds: float) -> Dict[str, Any]:
    with multiprocessing.Pool(writers + counters) as pool:
        writing = [pool.apply_async(_write, (str(folder / f"{one}"), seconds)) for one in range(writers)]
        counting = [pool.apply_async(_count, (seconds,)) for _ in range(counters)]
        wrote, counted = [one.get() for one in writing], [one.get() for one in counting]
        # They end by themselves: terminated, they would report the interruption that the suite makes of a signal.
        pool.close()
        pool.join()
    # All stand still together: the one that saw most of it tells.
    pauses = max((seen.pauses for seen in wrote + counted), key=lambda pauses: sum(length for _, length in pauses))
    starts = [start for start, _ in pauses]
    return {
        "writers": writers,
        "counters": counters,
        "flushes_per_second": sum(seen.rounds for seen in wrote) / seconds,
        "pauses_per_second": len(pauses) / seconds,
        "paused_ms_per_second": sum(length for _, length in pauses) / seconds,
        "period_ms": median([after - before for before, after in zip(starts, starts[1:])]) if len(pauses) > 1 else None,
    }


def _write(path: str, seconds: float) -> _Seen:
    file = os.open(path, os.O_RDWR | os.O_CREAT)

    def flush(turn: int) -> None:
        os.pwrite(file, _BLOCK, turn % _BLOCKS * len(_BLOCK))
        os.fdatasync(file)

    try:
        return _watch(flush, seconds)
    finally:
        os.close(file)


def _count(seconds: float) -> _Seen:
    return _watch(lambda _: None, seconds)


def _watch(act: Any, seconds: float) -> _Seen:
    began = last = time.perf_counter()
    seen = _Seen(0, [])
    while last - began < seconds:
        act(seen.rounds)
        now = time.perf_counter()
        if (now - last) * 1e3 > _PAUSE_MS:
            seen.pauses.append(((last - began) * 1e3, (now - last) * 1e3))
        seen.rounds += 1
        last = now
    return seen


def _table(found: List[Dict[str, Any]], seconds: float) -> Table:
    columns = ("flushing", "counting", "flushes/s", "pauses/s", "ms paused/s", "a pause every ms")
    table = Table(
        f"Machine: pauses over {_PAUSE_MS:.0f} ms, {seconds:.0f} s each, nothing of Raftwork running", columns
    )
    for one in found:
        table.add(
            str(one["writers"]),
            str(one["counters"]),
            number(one["flushes_per_second"]),
            number(one["pauses_per_second"]),
            number(one["paused_ms_per_second"]),
            number(one["period_ms"]) if one["period_ms"] else "-",
        )
    table.notes.append(
        "Pauses at a fixed distance are the host's; percentiles beyond their share show how long they are."
    )
    return table


EXPERIMENT = Experiment("machine", "flushes and pauses of the machine itself, without Raftwork", run)
