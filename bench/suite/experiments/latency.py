"""Submit to result, one task after another: on an idle cluster and at half of its throughput."""

import threading
from typing import Any, Dict, List

from ..build import Binaries
from ..cluster import Shape
from ..context import Context
from ..measure import wait_until_quiet
from ..peers.raftwork import RunningRaftwork
from ..report import Report, Table, number
from ..say import say
from ..stats import latencies, medians
from .base import Experiment

#: Workload of the driver to how the table calls it.
_WAYS = {"latency_for": "submit + result, stream", "latency_rest": "POST /v1/tasks + GET ...?wait, one connection"}
_SHAPES = (Shape(), Shape(mode="pull"), Shape(nodes=1))


def run(context: Context, binaries: Binaries) -> Report:
    """Idle, then with a second client that keeps push at half of what it can do, and pull at the same rate."""
    rows: Dict[str, List[Dict[str, float]]] = {}
    for _ in range(context.rounds):
        rate = 0
        for shape in _SHAPES:
            with RunningRaftwork(binaries, shape) as running:
                rate = _measure(context, running, rows, rate)
    table = Table(
        "Latency: submit to result, one task at a time, milliseconds",
        ("cluster", "load", "how", "p50", "p99", "p99.9", "p99 / p50"),
    )
    for name, rounds in rows.items():
        middle = medians(rounds)
        shown = [number(middle[key]) for key in ("p50_ms", "p99_ms", "p99_9_ms")]
        table.add(*name.split(" | "), *shown, f"{middle['p99_ms'] / middle['p50_ms']:.1f}")
    return Report([table], data=rows)


def _measure(context: Context, running: RunningRaftwork, rows: Dict[str, List[Dict[str, float]]], rate: int) -> int:
    """Returns the rate of the second client: the given one, or half of what this cluster can do if it is 0."""
    shape = running.cluster.shape
    window = 2_000 if context.quick else 5_000

    def once(load: str, workload: str) -> None:
        answer = running.driver.run(workload, window)
        rows.setdefault(f"{shape} | {load} | {_WAYS[workload]}", []).append(latencies(answer["milliseconds"]))

    wait_until_quiet(context.patience)
    for workload in _WAYS:
        once("idle", workload)
    if shape.nodes == 1:
        return rate
    # Also where the rate is known: both have done the same before.
    full = running.driver.run("end_to_end", context.size("end_to_end"))
    rate = rate or int(full["items"] / full["seconds"] / 2)
    say(f"half load: {rate} tasks/s beside")
    with Load(running, rate):
        once("half", "latency_for")
    return rate


class Load:
    """A second client that submits at a steady rate for as long as the block runs."""

    def __init__(self, running: RunningRaftwork, rate: int) -> None:
        self._driver = running.new_driver("load")
        self._rate = rate
        self._ended = threading.Event()
        self._failures: List[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Load":
        # A first second of it, so that what is measured begins under load.
        self._driver.run("paced_second", self._rate)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._thread.join()
        self._driver.stop()
        if self._failures:
            raise self._failures[0]

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._driver.run("paced_second", self._rate)
        except BaseException as error:
            self._failures.append(error)


EXPERIMENT = Experiment(
    "latency", "submit to result one at a time, idle and at half load, by stream and long poll", run
)
