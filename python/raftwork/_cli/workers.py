"""``raftwork workers``: who runs tasks."""

import argparse
from typing import Any

from ._common import DONE, MISSING, add_cluster_options, add_command, connect, print_json, print_rows
from ._errors import CommandError

_EXAMPLES = """\
  raftwork workers
  raftwork workers drain w1       by name or id: finish what it has, take nothing more, leave
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = add_command(commands, "workers", "List connected workers, or drain one.", _EXAMPLES, _list)
    add_cluster_options(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = add_command(actions, "list", "List connected workers.", "  raftwork workers list\n", _list)
    add_cluster_options(listing)
    summary = "Let workers finish what they have and leave."
    drain = add_command(actions, "drain", summary, "  raftwork workers drain w1 w2\n", _drain)
    drain.add_argument("names", nargs="+", metavar="WORKER", help="name or id")
    add_cluster_options(drain)


def _list(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        found = client.rest("GET", "/v1/workers")["workers"]
    columns = [
        ("WORKER", lambda worker: worker["worker_id"]),
        ("NAME", lambda worker: worker["name"]),
        ("MODE", lambda worker: worker["mode"]),
        ("PYTHON", lambda worker: worker["python"]),
        ("TAGS", lambda worker: ",".join(worker.get("tags", [])) or None),
        ("BUSY", lambda worker: f"{worker['held']}/{worker['slots']}"),
        ("SEEN", lambda worker: f"{worker['silent_ms'] / 1000:.1f}s ago"),
        ("", lambda worker: "draining" if worker["draining"] else ""),
    ]
    return print_rows(arguments, columns, found, "no workers; start one with: raftwork worker")


def _drain(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        known = client.rest("GET", "/v1/workers")["workers"]
        chosen = [worker for name in arguments.names for worker in _named(name, known)]
        for worker in chosen:
            client.rest("POST", f"/v1/workers/{worker['worker_id']}/drain")
            if not arguments.json:
                print(f"{worker['name']} finishes {worker['held']} tasks, then leaves")
    if arguments.json:
        print_json([worker["worker_id"] for worker in chosen])
    return DONE


def _named(name: str, known: Any) -> Any:
    found = [worker for worker in known if name in (worker["name"], worker["worker_id"])]
    if not found:
        names = ", ".join(worker["name"] for worker in known) or "none"
        raise CommandError(f"there is no worker '{name}' connected; connected: {names}", MISSING)
    return found
