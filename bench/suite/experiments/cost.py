"""What a task costs: processor time by component, bytes and flushes of the log."""

from typing import Any, Callable, Dict, List, Tuple

from .. import load
from ..build import Binaries
from ..cluster import Cluster, Shape
from ..context import Context
from ..measure import Meter, wait_until_quiet
from ..peers.raftwork import RunningRaftwork
from ..report import Report, Table, number
from ..stats import medians
from .base import Experiment

_PARTS = ("client", "leader", "followers", "worker", "children")
#: How many tasks the work was, and the answer of who did it.
Doing = Callable[[RunningRaftwork], int]


def run(context: Context, binaries: Binaries) -> Report:
    """The same counters around several kinds of work."""
    rows: Dict[str, List[Dict[str, float]]] = {}
    for _ in range(context.rounds):
        with RunningRaftwork(binaries, Shape()) as running:
            for name, work in _works(context):
                wait_until_quiet(context.patience)
                rows.setdefault(name, []).append(cost_of(running, work))
    processor = processor_table(rows)
    processor.notes.append("The load generator of the submits is not in their sums.")
    return Report([processor, log_table(rows)], data=rows)


def _works(context: Context) -> List[Tuple[str, Doing]]:
    tasks, samples = context.size("end_to_end"), context.size("latency")

    def driven(workload: str, size: int) -> Doing:
        def work(running: RunningRaftwork) -> int:
            running.driver.run(workload, size)
            return size

        return work

    return [
        ("map", driven("end_to_end", tasks)),
        ("one at a time", driven("latency", samples)),
        ("submits only, 1 in flight", _submits(1, context.quick)),
        ("submits only, 64 in flight", _submits(64, context.quick)),
    ]


def _submits(in_flight: int, quick: bool) -> Doing:
    def work(running: RunningRaftwork) -> int:
        running.cluster.stop_workers()
        # All of it is counted, so none of it is warm-up.
        options = ["--urls", running.cluster.url, "--warm-up", 0]
        return int(load.run("submit", options, in_flight, 2 if quick else 4)["acked"])

    return work


def cost_of(running: RunningRaftwork, work: Doing) -> Dict[str, float]:
    """Processor time by component, and what the nodes counted, for each task of a work."""
    cluster = running.cluster
    before = _counters(cluster)
    with Meter(running.components()) as usage:
        tasks = work(running)
    after = _counters(cluster)
    figures = {f"cpu_us_{name}": value for name, value in usage.per_item(tasks).items()}
    counted = {name: after[name] - before[name] for name in after}
    figures.update({f"{name}_per_task": value / tasks for name, value in counted.items()})
    entries = counted["leader_proposed_entries"]
    figures["fsyncs_per_entry_per_node"] = counted["all_log_fsyncs"] / cluster.shape.nodes / max(entries, 1)
    figures["tasks"] = tasks
    figures["other_cores"] = usage.other_cores
    return figures


def _counters(cluster: Cluster) -> Dict[str, float]:
    leader = cluster.leader()
    counted: Dict[str, float] = {}
    for number_ in range(1, cluster.shape.nodes + 1):
        for name, value in cluster.counters(number_).items():
            counted[f"all_{name}"] = counted.get(f"all_{name}", 0) + value
            if number_ == leader:
                counted[f"leader_{name}"] = value
    return counted


def processor_table(rows: Dict[str, List[Dict[str, float]]]) -> Table:
    """Who used the processor, by work."""
    table = Table("Cost: processor time, microseconds per task", ("work", *_PARTS, "sum"))
    for name, rounds in rows.items():
        middle = medians(rounds)
        parts = [middle.get(f"cpu_us_{part}", 0.0) for part in _PARTS]
        table.add(name, *map(number, parts), number(sum(parts)))
    return table


def log_table(rows: Dict[str, List[Dict[str, float]]]) -> Table:
    """What reached the logs of three nodes, by work."""
    columns = (
        "work",
        "log bytes per task and node",
        "commands per task",
        "entries per task",
        "flushes per task and node",
    )
    table = Table("Cost: the replicated log, 3 nodes", (*columns, "flushes per entry and node"))
    for name, rounds in rows.items():
        middle: Dict[str, Any] = medians(rounds)
        table.add(
            name,
            number(middle["leader_log_bytes_per_task"]),
            number(middle["leader_proposed_commands_per_task"]),
            number(middle["leader_proposed_entries_per_task"]),
            number(middle["all_log_fsyncs_per_task"] / 3),
            number(middle["fsyncs_per_entry_per_node"]),
        )
    table.notes.append("From the counters of each node's /metrics.")
    return table


EXPERIMENT = Experiment("cost", "processor time by component, log bytes and flushes per task", run, needs_load=True)
