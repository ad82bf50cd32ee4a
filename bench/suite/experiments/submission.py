"""Acknowledged submits per second; no worker runs them."""

from typing import Dict, List

from ..build import Binaries
from ..cluster import Shape
from ..context import Context
from ..peers.raftwork import RunningRaftwork, all_submissions
from ..report import Report, Table, number
from ..side_by_side import measure
from ..stats import medians
from .base import Experiment


def run(context: Context, binaries: Binaries) -> Report:
    """Every way to submit, on one cluster for each round."""
    works = all_submissions()
    rows: Dict[str, List[Dict[str, float]]] = {work.workload: [] for work in works}
    for _ in range(context.rounds):
        with RunningRaftwork(binaries, Shape()) as running:
            for work in works:
                rows[work.workload].append(measure(context, running, work))
    table = Table(
        "Submission: acknowledged tasks per second, 3 nodes, 256-byte arguments, Rust client, nothing runs them",
        ("how", "tasks/s", "p50 ms", "p99 ms", "p99.9 ms"),
    )
    for work in works:
        middle = medians(rows[work.workload])
        table.add(work.how, *(number(middle[name]) for name in ("rate", "p50_ms", "p99_ms", "p99_9_ms")))
    table.notes.append("Times are those of whole submits. Arguments of the course contract are a pickled number.")
    return Report([table], data=rows)


EXPERIMENT = Experiment("submission", "acknowledged submits per second by stream, batch and REST", run, needs_load=True)
