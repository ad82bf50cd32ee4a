"""``raftwork dev``: a cluster of real processes on this machine, and ways to break it."""

import argparse
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, List

from .._dev import processes
from .._dev.layout import Cluster, Layout
from .._dev.supervisor import Supervisor, plan
from ._common import DONE, FAILED, add_command, print_json, size
from ._dev_actions import actions, print_processes
from ._errors import CommandError

_EXAMPLES = """\
  raftwork dev                    three nodes, two workers, until Ctrl-C
  raftwork dev -m local -w 4      one node with four workers
  raftwork dev -d                 the same in the background; then: raftwork dev stop
  raftwork dev kill leader        kill -9 of the node that leads; watch another one take over
  raftwork dev restart n2         start it again on its data

Data and logs are in ./.raftwork (local: ./.raftwork-local); a second start finds them again.
The last line printed is: ready URL[,URL...]
"""

_SCREEN = """\
export RAFTWORK_URL={urls}

try it     raftwork run math:factorial 20
           python -c 'from raftwork import Client; print(sum(Client().function(abs).map(range(-1000, 0))))'
watch it   raftwork top
           {url}/docs                        every REST call, to be tried out
break it   {leader}
           raftwork dev status; raftwork dev restart all
stop it    Ctrl-C, or from elsewhere: raftwork dev stop        logs: {logs}"""

_DETACHED_READY_WITHIN = 120.0


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = add_command(commands, "dev", "Run a cluster on this machine, and break it.", _EXAMPLES, _run)
    parser.add_argument("action", nargs="?", choices=("up", *actions()), default="up", help="what to do (default: up)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="n1, w2, leader, nodes, workers or all")
    parser.add_argument("-m", "--mode", choices=("push", "pull", "local"), default="push", help="default: push")
    parser.add_argument("-w", "--workers", type=_number(0), default=2, metavar="N", help="workers (default: 2)")
    parser.add_argument("-n", "--nodes", type=_number(1), default=3, metavar="N", help="nodes (default: 3; local: 1)")
    parser.add_argument("--slots", type=_number(1), metavar="N", help="slots of each worker (default: processors)")
    parser.add_argument("--prefetch", type=_number(0), metavar="N", help="tasks each worker holds beyond its slots")
    parser.add_argument("--path", action="append", default=[], metavar="DIR", help="modules for workers; repeatable")
    parser.add_argument("--memory-limit", type=size, metavar="SIZE", help="of one task, as in 512MiB (default: none)")
    parser.add_argument("--release", action="store_true", help="start the optimised build, for measuring")
    parser.add_argument("--data", metavar="DIR", help="default: ./.raftwork, or ./.raftwork-local")
    parser.add_argument("-d", "--detach", action="store_true", help="return once the cluster is ready")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def _number(least: int) -> Any:
    def parse(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number from {least}")
        return int(text)

    return parse


def _run(arguments: argparse.Namespace) -> int:
    layout = _layout(arguments)
    if arguments.action == "up":
        if arguments.names:
            raise CommandError(f"up takes no names, and got {' '.join(arguments.names)}", 2)
        _refuse_second(layout)
        return _detached(arguments, layout) if arguments.detach else _up(arguments, layout)
    cluster = layout.load()
    if cluster is None:
        raise CommandError(f"there is no cluster in {layout.root}; start one with: raftwork dev")
    actions()[arguments.action](arguments, layout, cluster)
    return DONE


def _layout(arguments: argparse.Namespace) -> Layout:
    """The folder that is meant. One node and several cannot share data, so that each mode has a place of its own."""
    if arguments.data:
        return Layout(Path(arguments.data))
    cluster, local = Layout(Path(".raftwork")), Layout(Path(".raftwork-local"))
    if arguments.action == "up":
        return local if arguments.mode == "local" else cluster
    running = [layout for layout in (cluster, local) if _is_running(layout)]
    known = [layout for layout in (cluster, local) if layout.state.exists()]
    return [*running, *known, cluster][0]


def _up(arguments: argparse.Namespace, layout: Layout) -> int:
    nodes = 1 if arguments.mode == "local" else arguments.nodes
    cluster = plan(layout, arguments.mode, nodes, arguments.workers, _worker_options(arguments), arguments.release)
    supervisor = Supervisor(layout, cluster)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: supervisor.stop.set())
    try:
        supervisor.up()
        if not supervisor.stop.is_set():
            _print_ready(arguments, layout, supervisor.cluster)
            supervisor.foreground()
    finally:
        supervisor.down()
    return DONE


def _worker_options(arguments: argparse.Namespace) -> List[str]:
    """What every worker is told, as its command line."""
    options = ["--mode", "pull" if arguments.mode == "pull" else "push"]
    for name in ("slots", "prefetch", "memory_limit"):
        if getattr(arguments, name) is not None:
            options += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    for folder in arguments.path:
        options += ["--path", str(Path(folder).resolve())]
    return options


def _break(cluster: Cluster) -> str:
    if len(cluster.nodes()) < 3:
        return "raftwork dev kill w1              a worker; its task runs again elsewhere"
    return "raftwork dev kill leader          kill -9; another node leads within about 1.5 s, and nothing is lost"


def _is_running(layout: Layout) -> bool:
    cluster = layout.load()
    return bool(cluster and any(processes.is_alive(process.pid) for process in cluster.processes.values()))


def _refuse_second(layout: Layout) -> None:
    if _is_running(layout):
        raise CommandError(f"a cluster is running in {layout.root}; stop it first: raftwork dev stop")


def _print_ready(arguments: argparse.Namespace, layout: Layout, cluster: Cluster) -> None:
    urls = cluster.urls()
    if arguments.json:
        pids = {process.name: process.pid for process in cluster.processes.values()}
        print_json({"urls": urls, "processes": pids, "logs": str(layout.logs)})
    else:
        print_processes(layout, cluster)
        print("\n" + _SCREEN.format(url=urls[0], urls=",".join(urls), logs=layout.logs, leader=_break(cluster)) + "\n")
    print("ready " + ",".join(urls), flush=True)


def _detached(arguments: argparse.Namespace, layout: Layout) -> int:
    command = [argument for argument in sys.argv[1:] if argument not in ("-d", "--detach")]
    layout.logs.mkdir(parents=True, exist_ok=True)
    said = layout.log("dev")
    with open(said, "wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-u", "-m", "raftwork", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def settled() -> bool:
        return child.poll() is not None or "\nready " in "\n" + said.read_text()

    ready = processes.wait_until(settled, _DETACHED_READY_WITHIN) and child.poll() is None
    print(said.read_text().rstrip())
    # It lives on without this process, which must not warn of it.
    child.returncode = 0
    return DONE if ready else FAILED
