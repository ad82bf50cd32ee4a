"""Does a long queue make anything slow? Throughput, latency, memory, disk and restart with many tasks queued.

Each cluster is measured while nothing is queued, and again with its queue: from one cluster to the next the same
work is up to a fifth faster or slower. The tasks that wait ask for a Python that no worker has, so that they go on
waiting while others are measured. Then the same number that any worker may run: how fast it is worked off.
"""

import time
from typing import Any, Dict, List, Tuple

from .. import load
from ..build import Binaries
from ..cluster import Cluster, Shape
from ..context import Context
from ..measure import Meter, wait_until_quiet
from ..peers.raftwork import RunningRaftwork
from ..proc import resident_bytes
from ..processes import fetch
from ..report import Report, Table, number, size
from ..say import say
from ..stats import latencies, median
from .base import Experiment

_BATCH = 1000
_IN_FLIGHT = 4
_ARGUMENT_BYTES = 16
#: No worker has it.
_NOBODYS_PYTHON = "3.1"
#: Times the usual number of tasks: a second or more, for differences of a few per cent.
_SHARE = 5.0
#: How long a queue of tasks that can run is watched, in seconds.
_DRAIN = 10.0


def run(context: Context, binaries: Binaries) -> Report:
    """One cluster for each depth."""
    depths = list(context.depths) or ([0, 100_000] if context.quick else [0, 1_000_000])
    found = [_at_depth(context, binaries, depth) for depth in depths]
    return Report([_speed(found), _weight(found)], data=found)


def _at_depth(context: Context, binaries: Binaries, depth: int) -> Dict[str, Any]:
    shape = Shape(settings={"limits": {"queued_max": max(5_000_000, 3 * depth)}})
    with RunningRaftwork(binaries, shape) as running:
        cluster = running.cluster
        _settle(running, context)
        empty = _measure_speed(running, context)
        _settle(running, context)
        before = _weigh(cluster)
        seconds = _queue(cluster, depth, "--python", _NOBODYS_PYTHON)
        found: Dict[str, Any] = {"depth": depth, "queued_per_second": depth / seconds if depth else 0.0}
        found.update({f"empty_{name}": value for name, value in empty.items()})
        _settle(running, context)
        after = _weigh(cluster)
        if depth:
            found.update({f"{name}_per_task": (after[name] - before[name]) / depth for name in before})
        found.update(_measure_speed(running, context))
        found["restart_seconds"] = _restart(cluster)
        found["drained_per_second"] = _drain(cluster, depth)
    return found


def _settle(running: RunningRaftwork, context: Context) -> None:
    """Until nothing is compacted or snapshotted any more, as far as processor time tells."""
    wait_until_quiet(context.patience)
    pids = running.components()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with Meter(pids) as usage:
            time.sleep(1.0)
        if sum(usage.cpu.values()) < 0.1 * usage.seconds:
            return


def _queue(cluster: Cluster, depth: int, *options: object) -> float:
    """Submits so many tasks; returns how long it took."""
    if not depth:
        return 0.0
    say(f"queueing {depth:,} tasks")
    began = time.monotonic()
    generator = ["--urls", cluster.url, "--batch", _BATCH, "--bytes", _ARGUMENT_BYTES, "--warm-up", 0]
    load.run("submit", [*generator, "--writes", depth // _BATCH, *options], _IN_FLIGHT, 3600)
    return time.monotonic() - began


def _weigh(cluster: Cluster) -> Dict[str, float]:
    """Memory and disk of one node, the median of all."""
    numbers = range(1, cluster.shape.nodes + 1)
    return {
        "resident_bytes": median([resident_bytes([cluster.node(one).pid]) for one in numbers]),
        "disk_bytes": median([cluster.disk_bytes(one) for one in numbers]),
    }


def _measure_speed(running: RunningRaftwork, context: Context) -> Dict[str, float]:
    rates, idle = [], []
    for _ in range(context.rounds):
        wait_until_quiet(context.patience)
        answer = running.driver.run("end_to_end", context.size("end_to_end", _SHARE))
        rates.append(answer["items"] / answer["seconds"])
        idle.append(latencies(running.driver.run("latency", context.size("latency"))["milliseconds"]))
    return {
        "rate": median(rates),
        "p50_ms": median([one["p50_ms"] for one in idle]),
        "p99_ms": median([one["p99_ms"] for one in idle]),
    }


def _restart(cluster: Cluster) -> float:
    """Kills all nodes and starts them again; how long until a write is committed."""
    nodes = [cluster.node(one) for one in range(1, cluster.shape.nodes + 1)]
    for node in nodes:
        node.kill()
    began = time.monotonic()
    for node in nodes:
        node.start()
    cluster.wait_until_ready(600)
    return time.monotonic() - began


def _drain(cluster: Cluster, depth: int) -> float:
    """Tasks per second that workers finish of a queue that they may run."""
    if not depth:
        return 0.0
    cluster.group.wait_for("the workers to be back", lambda: cluster.connected() >= cluster.shape.workers)
    _queue(cluster, depth)
    left, began = _runnable(cluster), time.monotonic()
    cluster.group.wait_for(
        "the queue", lambda: time.monotonic() - began >= _DRAIN or not _runnable(cluster), 2 * _DRAIN
    )
    return (left - _runnable(cluster)) / (time.monotonic() - began)


def _runnable(cluster: Cluster) -> int:
    """Queued tasks that any Python may run, as the leader counts them."""
    text = fetch(f"{cluster.urls[cluster.leader() - 1]}/metrics").decode()
    start = 'raftwork_ready_tasks{python="any"} '
    return next((int(line[len(start) :]) for line in text.splitlines() if line.startswith(start)), 0)


def _speed(found: List[Dict[str, Any]]) -> Table:
    columns: Tuple[str, ...] = ("queued", "tasks/s", "of empty", "p50 ms", "of empty", "p99 ms")
    table = Table("Depth: speed with tasks queued", (*columns, "worked off/s", "queued/s", "restart s"))
    for one in found:
        table.add(
            f"{one['depth']:,}",
            number(one["rate"]),
            f"{one['rate'] / one['empty_rate']:.2f}",
            number(one["p50_ms"]),
            f"{one['p50_ms'] / one['empty_p50_ms']:.2f}",
            number(one["p99_ms"]),
            number(one["drained_per_second"]),
            number(one["queued_per_second"]),
            number(one["restart_seconds"]),
        )
    table.notes.append(
        "Of empty: of the same cluster before anything was queued; a row of 0 shows what time alone does."
    )
    table.notes.append("Restart: kill -9 of all nodes until a write is committed again.")
    return table


def _weight(found: List[Dict[str, Any]]) -> Table:
    table = Table("Depth: weight of a queued task on each node", ("queued", "memory", "disk"))
    for one in found:
        if one["depth"]:
            table.add(f"{one['depth']:,}", size(one["resident_bytes_per_task"]), size(one["disk_bytes_per_task"]))
    table.notes.append(f"Arguments of {_ARGUMENT_BYTES} bytes. Memory: growth of the resident set, caches included.")
    return table


EXPERIMENT = Experiment(
    "depth", "speed, memory, disk and restart with many tasks queued (--depths)", run, needs_load=True
)
