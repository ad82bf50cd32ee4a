"""What a cluster costs that has nothing to do."""

import time

from ..build import Binaries
from ..cluster import Cluster
from ..context import Context
from ..measure import Meter, wait_until_quiet
from ..proc import family, resident_bytes
from ..report import Report, Table, number, size
from .base import Experiment

_SETTLE = 5.0


def run(context: Context, binaries: Binaries) -> Report:
    """Three nodes and a worker of two slots, left alone."""
    window = 10.0 if context.quick else 30.0
    with Cluster(binaries) as cluster:
        time.sleep(_SETTLE)
        wait_until_quiet(context.patience)
        components = cluster.components()
        before = cluster.counters(cluster.leader())
        with Meter(components) as usage:
            time.sleep(window)
        after = cluster.counters(cluster.leader())
        resident = {name: resident_bytes(family(pids)) for name, pids in components.items()}
    # The family of the worker has the children in it; the table tells them apart.
    resident["worker"] -= resident["children"]
    table = Table(f"Idle: 3 nodes and one worker of 2 slots, {window:.0f} s", ("component", "% of a core", "resident"))
    for name in components:
        table.add(name, number(usage.cpu[name] / usage.seconds * 100), size(resident[name]))
    nodes = usage.cpu["leader"] + usage.cpu["followers"]
    table.add("nodes in all", number(nodes / usage.seconds * 100), size(resident["leader"] + resident["followers"]))
    fsyncs = after["log_fsyncs"] - before["log_fsyncs"]
    table.notes.append(f"Flushes of the leader's log: {fsyncs}. Memory that processes share is counted for each.")
    data = {"seconds": usage.seconds, "cpu_seconds": usage.cpu, "resident_bytes": resident, "leader_fsyncs": fsyncs}
    return Report([table], data=data)


EXPERIMENT = Experiment("idle", "processor and memory of an idle cluster", run)
