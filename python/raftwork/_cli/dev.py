"""``raftwork dev``: a cluster of real processes on this machine, and ways to break it."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, List

from .._dev import processes, rest
from .._dev.layout import Cluster, Layout, Process
from .._dev.supervisor import Supervisor, plan
from ._errors import CommandError

_EPILOG = """\
examples:
  raftwork dev                    three nodes, two workers, until Ctrl-C
  raftwork dev -m local -w 4      one node with four workers
  raftwork dev kill leader        kill -9 of the node that leads; watch another one take over
  raftwork dev restart n2         start it again on its data

Data and logs are in ./.raftwork. The last line printed is: ready URL[,URL...]
"""

_ACTIONS = ("up", "status", "kill", "pause", "resume", "restart", "stop", "clean")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "dev",
        help="run a cluster on this machine",
        description="Runs a cluster of real processes on this machine, and breaks it on request.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", choices=_ACTIONS, default="up", help="what to do (default: up)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="n1, w2, leader, nodes, workers or all")
    parser.add_argument("-m", "--mode", choices=("push", "pull", "local"), default="push", help="default: push")
    parser.add_argument("-w", "--workers", type=int, default=2, help="worker processes (default: 2)")
    parser.add_argument("-n", "--nodes", type=int, default=3, help="nodes (default: 3; local: always 1)")
    parser.add_argument("--slots", type=int, default=0, help="slots of each worker (default: one for each processor)")
    parser.add_argument("--path", action="append", default=[], metavar="DIR", help="modules for the workers; repeatable")
    parser.add_argument("--data", default=".raftwork", metavar="DIR", help="default: ./.raftwork")
    parser.add_argument("-d", "--detach", action="store_true", help="return once the cluster is ready")
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    layout = Layout(Path(arguments.data))
    if arguments.action == "up":
        return _detached(arguments, layout) if arguments.detach else _up(arguments, layout)
    actions: Dict[str, Callable[[argparse.Namespace, Layout, Cluster], None]] = {
        "status": _status,
        "kill": _signal(signal.SIGKILL),
        "pause": _signal(signal.SIGSTOP),
        "resume": _signal(signal.SIGCONT),
        "restart": _restart,
        "stop": _stop,
        "clean": _clean,
    }
    cluster = layout.load()
    if cluster is None:
        raise CommandError(f"there is no cluster in {layout.root}; start one with: raftwork dev")
    actions[arguments.action](arguments, layout, cluster)
    return 0


def _up(arguments: argparse.Namespace, layout: Layout) -> int:
    _refuse_second(layout)
    nodes = 1 if arguments.mode == "local" else arguments.nodes
    paths = [str(Path(folder).resolve()) for folder in arguments.path]
    supervisor = Supervisor(
        layout, plan(layout, arguments.mode, nodes, arguments.workers, arguments.slots, paths)
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: supervisor.stop.set())
    try:
        supervisor.up()
        if not supervisor.stop.is_set():
            _print_ready(arguments, layout, supervisor.cluster)
            supervisor.foreground()
    finally:
        supervisor.down()
    return 0


def _refuse_second(layout: Layout) -> None:
    running = layout.load()
    if running and any(processes.is_alive(process.pid) for process in running.processes.values()):
        raise CommandError(f"a cluster is running in {layout.root}; stop it first: raftwork dev stop")


def _print_ready(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
    if not arguments.json:
        _print_table(layout, cluster)
        first = cluster.urls()[0]
        print(f"\n  API docs  {first}/docs        logs  {layout.logs}")
        print("  break it  raftwork dev kill leader      (another node takes over)")
        print(f"  export RAFTWORK_URL={','.join(cluster.urls())}\n")
    print("ready " + ",".join(cluster.urls()), flush=True)


def _print_table(layout: Layout, cluster: Cluster) -> None:
    print(f"  {'NAME':6}{'ROLE':10}{'PID':8}{'URL':28}DATA")
    for row in _rows(layout, cluster):
        print(f"  {row['name']:6}{row['role']:10}{row['pid'] or '-':<8}{row['url'] or '-':28}{row['data'] or '-'}")


def _rows(layout: Layout, cluster: Cluster) -> List[Dict[str, object]]:
    leader = rest.leader([process.url for process in cluster.nodes() if process.url and processes.is_alive(process.pid)])

    def row(process: Process) -> Dict[str, object]:
        alive = processes.is_alive(process.pid)
        role = ("leader" if process.name == f"n{leader}" else "follower") if process.url else "worker"
        data = str(layout.root / process.name) if process.url else None
        pid = process.pid if alive else None
        return {"name": process.name, "role": role if alive else "down", "pid": pid, "url": process.url, "data": data}

    return [row(process) for process in cluster.processes.values()]


def _status(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
    if arguments.json:
        print(json.dumps({"mode": cluster.mode, "urls": cluster.urls(), "processes": _rows(layout, cluster)}))
    else:
        _print_table(layout, cluster)


def _chosen(names: List[str], cluster: Cluster) -> List[Process]:
    if not names:
        raise CommandError("name a process: n1, w2, leader, nodes, workers or all")
    chosen: List[Process] = []
    for name in names:
        chosen += _named(name, cluster)
    return chosen


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


def _signal(number: int) -> Callable[[argparse.Namespace, Layout, Cluster], None]:
    def act(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
        for process in _chosen(arguments.names, cluster):
            done = processes.send(process, number)
            print(f"{process.name} {signal.Signals(number).name if done else 'was not running'}")

    return act


def _restart(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
    for process in _chosen(arguments.names, cluster):
        processes.send(process, signal.SIGCONT)
        processes.send(process, signal.SIGTERM)
        if not processes.wait_until(lambda: not processes.is_alive(process.pid), processes.STOP_WITHIN):
            processes.send(process, signal.SIGKILL)
        processes.start(layout, process)
        print(f"{process.name} started, process {process.pid}")
    layout.save(cluster)


def _stop(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
    if processes.is_alive(cluster.supervisor):
        os.kill(cluster.supervisor, signal.SIGTERM)
        processes.wait_until(lambda: not processes.is_alive(cluster.supervisor), 2 * processes.STOP_WITHIN)
    processes.stop_all(cluster)
    print("stopped")


def _clean(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
    _stop(arguments, layout, cluster)
    shutil.rmtree(layout.root)
    print(f"removed {layout.root}")


def _detached(arguments: argparse.Namespace, layout: Layout) -> int:
    command = [argument for argument in sys.argv[1:] if argument not in ("-d", "--detach")]
    layout.logs.mkdir(parents=True, exist_ok=True)
    with open(layout.log("dev"), "wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-u", "-m", "raftwork", *command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )
    said = layout.log("dev")
    ready = processes.wait_until(lambda: child.poll() is not None or "\nready " in "\n" + said.read_text(), 300.0)
    print(said.read_text().rstrip())
    return 0 if ready and child.poll() is None else 1
