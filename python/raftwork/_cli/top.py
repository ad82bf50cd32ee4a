"""``raftwork top``: the cluster on one screen, drawn again and again."""

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from ..errors import ClusterError
from ._common import DONE, add_cluster_options, add_command, aligned, connect, print_json
from .run import span

if TYPE_CHECKING:
    from .._client import Client

_EXAMPLES = """\
  raftwork top                 once a second, until q or Ctrl-C
  raftwork top --every 5s
  raftwork top --once          one look, also what is printed where there is no terminal
"""

_BARS = 20
Counters = Dict[str, float]


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    summary = "Watch the cluster: nodes and leader, queues, workers, rates."
    parser = add_command(commands, "top", summary, _EXAMPLES, _run)
    parser.add_argument("--every", type=span, default=1.0, metavar="SPAN", help="between two looks (default: 1s)")
    parser.add_argument("--once", action="store_true", help="look once and leave")
    add_cluster_options(parser)


class Look(NamedTuple):
    """What was seen at one moment."""

    at: float
    """Seconds, for differences."""
    cluster: Dict[str, Any]
    workers: List[Dict[str, Any]]
    counters: Counters
    """Counters of the leader that only rise, by name."""


def _run(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        if arguments.json:
            seen = look(client)
            print_json({"cluster": seen.cluster, "workers": seen.workers, "counters": seen.counters})
        elif arguments.once or not sys.stdout.isatty():
            print("\n".join(screen(look(client), None)))
        else:
            from ._keys import Keys

            with Keys() as keys:
                _watch(client, arguments.every, keys)
    return DONE


def _watch(client: "Client", every: float, keys: Any) -> None:
    before: Optional[Look] = None
    while True:
        try:
            seen = look(client)
            lines, before = screen(seen, before), seen
        except ClusterError as error:
            lines = [f"{error}", "trying again"]
        # From the top left corner, each line cleared to its end, then all below: nothing flickers.
        sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        sys.stdout.flush()
        if keys.pressed(every) in ("q", "Q"):
            return


def look(client: "Client") -> Look:
    """Ask for everything that the screen shows."""
    cluster = client.rest("GET", "/v1/cluster")
    workers = client.rest("GET", "/v1/workers")["workers"]
    return Look(time.monotonic(), cluster, workers, _counters(client, cluster))


def _counters(client: "Client", cluster: Dict[str, Any]) -> Counters:
    """The leader's counters; none if it cannot be asked right now."""
    from .._client import Client

    url = next((node["url"] for node in cluster["nodes"] if node["id"] == cluster["leader"]), None)
    if url is None:
        return {}
    with Client(url, patience="2s") as leader:
        try:
            status, body = leader._core.rest("GET", "/metrics")
        except ClusterError:
            return {}
    return parse_metrics(body.decode()) if status == 200 else {}


def parse_metrics(text: str) -> Counters:
    """The samples without labels of a page in Prometheus' text form."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value and not name.startswith("#") and "{" not in name:
            try:
                found[name] = float(value)
            except ValueError:
                continue
    return found


def screen(now: Look, before: Optional[Look]) -> List[str]:
    """The lines to show."""
    cluster = now.cluster
    leader = f"node {cluster['leader']} leads" if cluster["leader"] else "no leader at the moment"
    tasks = cluster["tasks"]
    slots = sum(worker["slots"] for worker in now.workers)
    held = sum(worker["held"] for worker in now.workers)
    lines = [
        f"{cluster['cluster']}: {leader}, term {cluster['term']}, {cluster['applied']} entries applied",
        "tasks    " + ", ".join(f"{tasks.get(one, 0)} {one}" for one in ("waiting", "queued", "running")),
        f"slots    {_gauge(held, slots)} {min(held, slots)} of {slots} busy, {max(0, held - slots)} held ahead",
    ]
    if before is not None and before.counters and now.counters:
        lines.append("rates    " + ", ".join(f"{rate:,.0f} {what}/s" for what, rate in rates(now, before)))
    lines += ["", *_nodes(cluster), "", *_workers(now.workers)]
    return lines


def rates(now: Look, before: Look) -> List[Tuple[str, float]]:
    """What rose by how much a second; nothing of a leader that was started anew since."""
    seconds = max(1e-6, now.at - before.at)
    named = (
        ("commands", "raftwork_proposed_commands_total"),
        ("log entries", "raftwork_proposed_entries_total"),
        ("fsyncs", "raftwork_log_fsyncs_total"),
    )
    found = []
    for what, name in named:
        risen = now.counters.get(name, 0.0) - before.counters.get(name, 0.0)
        if risen >= 0:
            found.append((what, risen / seconds))
    return found


def _nodes(cluster: Dict[str, Any]) -> List[str]:
    rows = [["NODE", "ROLE", "LAG", "URL"]]
    for node in cluster["nodes"]:
        lag = node.get("lag")
        rows.append([f"n{node['id']}", node["role"], "-" if lag is None else str(lag), node["url"]])
    return aligned(rows)


def _workers(workers: List[Dict[str, Any]]) -> List[str]:
    if not workers:
        return ["no workers; start one with: raftwork worker"]
    rows = [["WORKER", "MODE", "PYTHON", "BUSY", "", "SEEN"]]
    for worker in sorted(workers, key=lambda worker: str(worker["name"])):
        busy = min(worker["held"], worker["slots"])
        rows.append(
            [
                worker["name"],
                worker["mode"],
                worker["python"],
                f"{busy}/{worker['slots']}",
                _gauge(busy, worker["slots"]),
                f"{worker['silent_ms'] / 1000:.1f}s ago" + (", draining" if worker["draining"] else ""),
            ]
        )
    return aligned(rows)


def _gauge(part: int, whole: int) -> str:
    filled = _BARS * min(part, whole) // whole if whole else 0
    return f"[{'#' * filled}{'.' * (_BARS - filled)}]"
