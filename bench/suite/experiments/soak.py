"""Full load for minutes: is everything flat that should be?"""

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List

from ..build import Binaries
from ..cluster import Cluster, Shape
from ..context import Context
from ..driver import Driver
from ..peers.raftwork import RunningRaftwork
from ..proc import family, resident_bytes
from ..report import Plot, Report, Table, number
from ..say import say
from ..stats import median, percentile
from .base import Experiment

#: Tasks of the first ``map``.
_CHUNK = 2_000
#: Seconds of the following ones: so long that their beginning and end weigh little.
_CHUNK_SECONDS = 3.0
#: How long results are kept, so that a run of minutes shows what a run of days would.
_RETENTION = "60s"
_MIB = 1 << 20


@dataclass
class _Series:
    """Points over time: seconds since the beginning, and values."""

    seconds: List[float] = field(default_factory=list)
    values: List[float] = field(default_factory=list)

    def add(self, at: float, value: float) -> None:
        """One more point."""
        self.seconds.append(round(at, 2))
        self.values.append(round(value, 3))

    def part(self, begin: float, end: float) -> List[float]:
        """Values of a part of the time, given in shares of all of it."""
        last = self.seconds[-1] if self.seconds else 0.0
        return [value for at, value in zip(self.seconds, self.values) if begin * last <= at <= end * last]


Data = Dict[str, _Series]


def run(context: Context, binaries: Binaries) -> Report:
    """One client at full speed, a second one that submits single tasks, and a look at everything each second."""
    seconds = context.minutes * 60
    data: Data = {}
    chunk = _CHUNK
    with RunningRaftwork(binaries, Shape(), env={"BENCH_RETENTION": _RETENTION}) as running:
        began = time.monotonic()
        observer = _Observer(running.cluster, began, data)
        prober = _Prober(running.new_driver("probe"), began, data)
        with prober, observer:
            while time.monotonic() - began < seconds:
                answer = running.driver.run("end_to_end", chunk)
                rate = answer["items"] / answer["seconds"]
                chunk = int(rate * _CHUNK_SECONDS)
                _series(data, "tasks/s").add(time.monotonic() - began, rate)
                say(f"{time.monotonic() - began:.0f} of {seconds:.0f} s: {rate:,.0f} tasks/s")
    return Report([_table(data)], _plots(data), {name: vars(series) for name, series in data.items()})


def _series(data: Data, name: str) -> _Series:
    return data.setdefault(name, _Series())


class _Beside(threading.Thread):
    """Does something again and again beside the load."""

    def __init__(self, began: float, data: Data) -> None:
        super().__init__(daemon=True)
        self.began = began
        self.data = data
        self._ended = threading.Event()
        self._failures: List[BaseException] = []

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self.join()
        if self._failures:
            raise self._failures[0]

    def run(self) -> None:
        """Until the block ends or it fails."""
        try:
            while not self._ended.wait(self.once()):
                pass
        except BaseException as error:
            self._failures.append(error)

    def once(self) -> float:
        """Does it once; returns how long to wait."""
        raise NotImplementedError


class _Observer(_Beside):
    """Memory and disk, each second."""

    def __init__(self, cluster: Cluster, began: float, data: Data) -> None:
        super().__init__(began, data)
        self._cluster = cluster

    def once(self) -> float:
        at = time.monotonic() - self.began
        for number_ in range(1, self._cluster.shape.nodes + 1):
            resident = resident_bytes([self._cluster.node(number_).pid])
            _series(self.data, f"n{number_} resident MiB").add(at, resident / _MIB)
            _series(self.data, f"n{number_} disk MiB").add(at, self._cluster.disk_bytes(number_) / _MIB)
        workers = resident_bytes(family(self._cluster.group.pids("w")))
        _series(self.data, "worker resident MiB").add(at, workers / _MIB)
        return 1.0


class _Prober(_Beside):
    """Latency of single tasks under the load, each second."""

    def __init__(self, driver: Driver, began: float, data: Data) -> None:
        super().__init__(began, data)
        self._driver = driver

    def once(self) -> float:
        times = self._driver.run("first_for", 1000)["milliseconds"]
        at = time.monotonic() - self.began
        _series(self.data, "p50 ms").add(at, percentile(times, 50))
        _series(self.data, "p99 ms").add(at, percentile(times, 99))
        return 0.5

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)
        self._driver.stop()


def _table(data: Data) -> Table:
    """The first minute is warm-up; what follows is compared in quarters."""
    table = Table("Soak: full load; is it flat?", ("what", "2nd quarter", "3rd quarter", "last quarter", "last / 2nd"))
    for name, series in data.items():
        parts = [series.part(begin, begin + 0.25) for begin in (0.25, 0.5, 0.75)]
        if all(parts):
            middle = [median(part) for part in parts]
            growth = middle[2] / middle[0] if middle[0] else 1.0
            table.add(name, *map(number, middle), f"{growth:.2f}")
    table.notes.append(f"Results are kept for {_RETENTION}; latency is that of single tasks of the highest priority.")
    return table


def _plots(data: Data) -> List[Plot]:
    def lines(*ends: str) -> Dict[str, Any]:
        return {name: (one.seconds, one.values) for name, one in data.items() if name.endswith(ends)}

    return [
        Plot("soak-throughput", "Throughput", "seconds", "tasks/s", lines("tasks/s")),
        Plot("soak-latency", "Latency of single tasks under full load", "seconds", "ms", lines("p50 ms", "p99 ms")),
        Plot("soak-memory", "Resident memory", "seconds", "MiB", lines("resident MiB")),
        Plot("soak-disk", "Data folders", "seconds", "MiB", lines("disk MiB")),
    ]


EXPERIMENT = Experiment(
    "soak", "full load for --minutes: throughput, latency, memory and disk over time, with plots", run
)
