"""``raftwork cluster``: the nodes; ``_members`` changes who they are."""

import argparse
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Set

from . import _members
from ._common import DONE, FAILED, add_cluster_options, add_command, connect, print_fields, print_json, print_table

if TYPE_CHECKING:
    from .._client import Client

_EXAMPLES = """\
  raftwork cluster status
  raftwork cluster digest            do all nodes hold the same state?
  raftwork cluster add http://10.0.0.4:7001         a new node, which runs with --join
  raftwork cluster replace 3 http://10.0.0.4:7001   the same, in the place of node 3
  raftwork cluster remove 3
  raftwork cluster transfer --to 2   let node 2 lead, before the leader is taken down
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    summary = "Show the nodes, compare their state, move the leadership, add, replace and remove nodes."
    parser = add_command(commands, "cluster", summary, _EXAMPLES, _status)
    add_cluster_options(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    status = add_command(actions, "status", "Show the nodes.", "  raftwork cluster status\n", _status)
    add_cluster_options(status)
    summary = "Compare the digests of what the nodes have applied."
    digest = add_command(actions, "digest", summary, "  raftwork cluster digest\n", _digest)
    add_cluster_options(digest)
    example = "  raftwork cluster transfer --to 2\n"
    transfer = add_command(actions, "transfer", "Hand leadership over.", example, _transfer)
    transfer.add_argument("--to", type=int, metavar="NODE", help="default: any node that is up to date")
    add_cluster_options(transfer)
    _members.add_parsers(actions)


def _status(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        cluster = client.rest("GET", "/v1/cluster")
    if arguments.json:
        print_json(cluster)
        return DONE
    tasks = ", ".join(f"{count} {status}" for status, count in cluster["tasks"].items())
    print_fields(
        [
            ("cluster", cluster["cluster"]),
            ("leader", f"node {cluster['leader']}" if cluster["leader"] else "none at the moment"),
            ("term", cluster["term"]),
            ("applied", f"{cluster['applied']} of {cluster['last_log']} entries, as node {cluster['node']} sees it"),
            ("snapshot", cluster["snapshot"] or None),
            ("live tasks", tasks or "none"),
            ("version", cluster["version"]),
        ]
    )
    print()
    columns = [
        ("NODE", lambda node: node["id"]),
        ("ROLE", lambda node: node["role"]),
        ("URL", lambda node: node["url"]),
        ("LAG", lambda node: node.get("lag")),
    ]
    if any("answers" in node for node in cluster["nodes"]):
        columns.append(("ANSWERS", lambda node: "yes" if node["answers"] else "no"))
    print_table(columns, cluster["nodes"], "no nodes: this one is new, and was not added to a cluster yet")
    return DONE


def _digest(arguments: argparse.Namespace) -> int:
    digests = _digests(arguments)
    by_index: Dict[int, Set[str]] = {}
    for one in digests:
        if "digest" in one:
            by_index.setdefault(one["applied"], set()).add(one["digest"])
    diverged = any(len(found) > 1 for found in by_index.values())
    if arguments.json:
        print_json({"nodes": digests, "diverged": diverged})
        return FAILED if diverged else DONE
    columns = [
        ("NODE", lambda one: one["node"]),
        ("APPLIED", lambda one: one.get("applied")),
        ("DIGEST", lambda one: one.get("digest") or one["error"]),
    ]
    print_table(columns, digests, "no nodes")
    if diverged:
        print("\nnodes at the same applied entry differ: keep their data folders and report this")
    elif len(by_index) > 1:
        print("\nnodes were asked at different moments; the same applied entry must have the same digest")
    return FAILED if diverged else DONE


def _digests(arguments: argparse.Namespace) -> List[Dict[str, Any]]:
    from .._client import Client
    from ..errors import ClusterError

    with connect(arguments) as client:
        nodes = client.rest("GET", "/v1/cluster")["nodes"]
    digests = []
    for node in nodes:
        with Client(node["url"], patience="2s") as client:
            try:
                digests.append(client.rest("GET", "/v1/cluster/digest"))
            except ClusterError as error:
                digests.append({"node": node["id"], "error": str(error)})
    return digests


def _transfer(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        before = client.rest("GET", "/v1/cluster")["leader"]
        if before is not None and arguments.to == before:
            # As after a command whose answer was lost.
            after: Optional[int] = before
        else:
            # With `from`, the request may be sent twice: it does nothing once another node leads.
            wish = {"from": before, "to": arguments.to}
            client.rest("POST", "/v1/cluster/transfer", {key: node for key, node in wish.items() if node is not None})
            after = _leader_after(client, before)
    if arguments.json:
        print_json({"from": before, "to": after})
    elif after == before:
        print(f"node {before} leads already")
    else:
        print(f"node {before} has handed over; " + (f"the leader is now node {after}" if after else "none leads yet"))
    return DONE


def _leader_after(client: "Client", before: Optional[int]) -> Optional[int]:
    """The new leader, once the node that answers has heard of it; ``None`` if that takes too long."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        leader: Optional[int] = client.rest("GET", "/v1/cluster")["leader"]
        if leader not in (None, before):
            return leader
        time.sleep(0.05)
    return None
