"""What ``raftwork dev`` can do to a cluster that was started before: look, break, mend, stop."""

import argparse
import os
import shutil
import signal
from typing import Callable, Dict, List

from .._dev import processes, rest
from .._dev.layout import Cluster, Layout, Process
from ._common import Column, print_json, print_table
from ._errors import CommandError

Action = Callable[[argparse.Namespace, Layout, Cluster], None]


def actions() -> Dict[str, Action]:
    """The actions by name."""
    return {
        "status": _status,
        "kill": _signal(signal.SIGKILL),
        "pause": _signal(signal.SIGSTOP),
        "resume": _signal(signal.SIGCONT),
        "restart": _restart,
        "stop": _stop,
        "clean": _clean,
    }


def print_processes(layout: Layout, cluster: Cluster) -> None:
    """Print the table of processes."""
    columns: List[Column] = [
        ("NAME", lambda row: row["name"]),
        ("ROLE", lambda row: row["role"]),
        ("PID", lambda row: row["pid"]),
        ("URL", lambda row: row["url"]),
        ("DATA", lambda row: row["data"]),
    ]
    print_table(columns, _rows(layout, cluster), "no processes")


def _rows(layout: Layout, cluster: Cluster) -> List[Dict[str, object]]:
    living = [process.url for process in cluster.nodes() if process.url and processes.is_alive(process.pid)]
    leader = rest.leader(living)

    def row(process: Process) -> Dict[str, object]:
        alive = processes.is_alive(process.pid)
        role = ("leader" if process.name == f"n{leader}" else "follower") if process.url else "worker"
        data = str(layout.root / process.name) if process.url else None
        pid = process.pid if alive else None
        return {"name": process.name, "role": role if alive else "down", "pid": pid, "url": process.url, "data": data}

    return [row(process) for process in cluster.processes.values()]


def _status(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
    if arguments.json:
        print_json({"mode": cluster.mode, "urls": cluster.urls(), "processes": _rows(layout, cluster)})
    else:
        print_processes(layout, cluster)


def _chosen(names: List[str], cluster: Cluster) -> List[Process]:
    if not names:
        raise CommandError("name a process: n1, w2, leader, nodes, workers or all", 2)
    return [process for name in names for process in _named(name, cluster)]


def _named(name: str, cluster: Cluster) -> List[Process]:
    groups = {"nodes": cluster.nodes(), "workers": cluster.workers(), "all": list(cluster.processes.values())}
    if name in groups:
        return groups[name]
    if name == "leader":
        leader = rest.leader(cluster.urls())
        if leader is None:
            raise CommandError("the cluster has no leader at the moment; look with: raftwork dev status")
        name = f"n{leader}"
    if name not in cluster.processes:
        raise CommandError(f"there is no process {name}; there are {', '.join(cluster.processes)}")
    return [cluster.processes[name]]


def _signal(number: signal.Signals) -> Action:
    def act(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
        told = []
        for process in _chosen(arguments.names, cluster):
            done = processes.send(process, number)
            told.append({"name": process.name, "pid": process.pid if done else None, "signal": number.name})
        if arguments.json:
            print_json(told)
            return
        for one in told:
            print(f"{one['name']} {one['signal'] if one['pid'] else 'was not running'}")

    return act


def _restart(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
    restarted = _chosen(arguments.names, cluster)
    processes.stop(restarted)
    for process in restarted:
        processes.start(layout, process)
        if not arguments.json:
            print(f"{process.name} started, process {process.pid}")
    layout.save(cluster)
    if arguments.json:
        print_json([{"name": process.name, "pid": process.pid} for process in restarted])


def _stop(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
    if processes.is_alive(cluster.supervisor):
        os.kill(cluster.supervisor, signal.SIGTERM)
        processes.wait_until(lambda: not processes.is_alive(cluster.supervisor), 2 * processes.STOP_WITHIN)
    processes.stop_all(cluster)
    print_json({"stopped": list(cluster.processes)}) if arguments.json else print("stopped")


def _clean(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
    _stop(arguments, layout, cluster)
    shutil.rmtree(layout.root)
    print_json({"removed": str(layout.root)}) if arguments.json else print(f"removed {layout.root}")
