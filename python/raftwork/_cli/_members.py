"""``raftwork cluster add``, ``replace`` and ``remove``.

Each says what shall be, and is repeated until it is so: a command that was interrupted goes on where it was.
"""

import argparse
import time
from typing import TYPE_CHECKING, Any, Dict, Optional

from ._common import DONE, FAILED, add_cluster_options, add_command, connect, print_json, warn

if TYPE_CHECKING:
    from .._client import Client

_ADD = """\
  raftworkd serve --config cluster.toml --node 4 --join http://10.0.0.1:7001    on the new machine
  raftwork cluster add http://10.0.0.4:7001                                     anywhere

The new node receives what the others have, by a snapshot if that is much, and votes when it has it. Its id is the one
that it was started with. Interrupted, the command can be given again, and goes on where it was; a node that is a member
already stays one, and if it has moved, its new address is noted.
"""
_REPLACE = """\
  raftworkd serve --config cluster.toml --node 4 --join http://10.0.0.1:7001    on the new machine
  raftwork cluster replace 3 http://10.0.0.4:7001                               anywhere

For a node whose disk or machine is lost, and for a move to another machine: node 4 receives what the others have, then
takes the place of node 3 in one step, so that the number of voters never changes. A node that leads hands over first.
"""
_REMOVE = """\
  raftwork cluster remove 3

A node that leads hands over first. The removed one ends by itself (exit code 5) once it hears of it, and its data
folder is of no more use. Refused if fewer than a majority of the nodes that stay would answer, unless --force is given.
"""


def add_parsers(actions: Any) -> None:
    """Add the subcommands."""
    add = add_command(actions, "add", "Add a node that runs with --join.", _ADD, _add)
    _add_new_node(add)
    replace = add_command(actions, "replace", "Put a new node in the place of another.", _REPLACE, _add)
    replace.add_argument("replaces", type=int, metavar="NODE", help="the node that goes; it need not be alive")
    _add_new_node(replace)
    remove = add_command(actions, "remove", "Remove a node for good.", _REMOVE, _remove)
    remove.add_argument("node", type=int, metavar="NODE", help="its number")
    _add_force(remove)
    add_cluster_options(remove)


def _add_new_node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("new", metavar="URL", help="base URL of the new node")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="give up after (default: 600)")
    _add_force(parser)
    add_cluster_options(parser)


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="although too few of the nodes answer now")


def _add(arguments: argparse.Namespace) -> int:
    wish: Dict[str, Any] = {"url": arguments.new, "force": arguments.force}
    replaces: Optional[int] = getattr(arguments, "replaces", None)
    if replaces is not None:
        wish["replaces"] = replaces
    deadline = time.monotonic() + arguments.timeout
    with connect(arguments) as client:
        answer = _until_member(client, wish, deadline)
    if arguments.json:
        print_json(answer)
    elif answer["state"] == "member":
        print(f"node {answer['node']} votes" + (f"; node {replaces} is gone" if replaces is not None else ""))
    if answer["state"] == "member":
        return DONE
    warn(f"node {answer['node']} has not caught up in time; it goes on, and the same command waits for it again")
    return FAILED


def _until_member(client: "Client", wish: Dict[str, Any], deadline: float) -> Dict[str, Any]:
    """Repeat the wish until it is fulfilled, and tell how far it is."""
    told = ""
    while True:
        answer: Dict[str, Any] = client.rest("POST", "/v1/cluster/members?wait=2s", wish)
        if answer["state"] == "member" or time.monotonic() >= deadline:
            return answer
        lag = answer.get("lag")
        lacks = "has not answered yet" if lag is None else f"lacks {lag:,} log entries"
        progress = f"node {answer['node']} is catching up: it {lacks}"
        if progress != told:
            warn(progress)
            told = progress


def _remove(arguments: argparse.Namespace) -> int:
    query = "?force=true" if arguments.force else ""
    with connect(arguments) as client:
        was_member = any(node["id"] == arguments.node for node in client.rest("GET", "/v1/cluster")["nodes"])
        answer = client.rest("DELETE", f"/v1/cluster/members/{arguments.node}{query}")
    if arguments.json:
        print_json(answer)
    else:
        print(f"node {arguments.node} is " + ("no member any more" if was_member else "not a member"))
    return DONE
