"""``raftwork maps``: functions over many items that were submitted as a whole."""

import argparse
import sys
from typing import Any, Dict

from ..errors import AlreadyFinished
from ._common import (
    DONE,
    FAILED,
    add_cluster_options,
    add_command,
    age,
    connect,
    pages,
    print_fields,
    print_json,
    print_rows,
    warn,
)
from .run import describe

_EXAMPLES = """\
  raftwork maps                               the newest ones
  raftwork maps show MAP_ID
  raftwork maps results MAP_ID > results.txt  in order, as items end; in any process, as often as you like
  raftwork maps cancel MAP_ID
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = add_command(commands, "maps", "List maps; show and cancel them, and get results.", _EXAMPLES, _list)
    _add_list_options(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = add_command(actions, "list", "List maps, newest first.", "  raftwork maps list\n", _list)
    _add_list_options(listing)
    _add_action(actions, "show", "Show where a map stands.", _show)
    _add_action(actions, "results", "Print a result a line, in order, as items end.", _results)
    _add_action(actions, "cancel", "Cancel all items of a map that have not ended.", _cancel)


def _add_action(actions: Any, name: str, summary: str, run: Any) -> None:
    parser = add_command(actions, name, summary, f"  raftwork maps {name} MAP_ID\n", run)
    parser.add_argument("id", metavar="MAP_ID")
    add_cluster_options(parser)


def _add_list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="most maps to list (default: 50)")
    add_cluster_options(parser)


def _list(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        maps = pages(lambda query: client.rest("GET", f"/v1/maps?{query}"), "maps", arguments.limit)
    columns = [
        ("MAP", lambda map: map["map_id"]),
        ("AGE", lambda map: age(map["submitted_at"])),
        ("ITEMS", lambda map: map["items"]),
        ("QUEUED", lambda map: map["queued"] + map["waiting"]),
        ("RUNNING", lambda map: map["running"]),
        ("COMPLETED", lambda map: map["completed"]),
        ("OTHERWISE", _otherwise),
    ]
    return print_rows(arguments, columns, maps, "no maps")


def _otherwise(map: Dict[str, Any]) -> str:
    """How items ended that have no result."""
    counts = [f"{map[status]} {status}" for status in ("failed", "parked", "cancelled") if map[status]]
    return ", ".join(counts) or "-"


def _show(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        map = client.rest("GET", f"/v1/maps/{arguments.id}")
    if arguments.json:
        print_json(map)
        return DONE
    names = ("items", "queued", "waiting", "running", "completed", "failed", "parked", "cancelled")
    fields = [("map", map["map_id"]), ("function", map["function_id"]), *((name, map[name]) for name in names)]
    fields += [("submitted", map["submitted_at"]), ("finished", map.get("finished_at"))]
    print_fields(fields)
    return DONE


def _results(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        results = client.get_map(arguments.id, return_exceptions=True, progress=not sys.stdout.isatty())
        failed = sum(print_result(value, arguments.json) for value in results)
    if failed:
        warn(f"{failed} of {results.submitted} items failed")
    return FAILED if failed else DONE


def _cancel(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        try:
            map = client.rest("POST", f"/v1/maps/{arguments.id}/cancel", {})
        except AlreadyFinished as error:
            warn(str(error))
            return FAILED
    print_json(map) if arguments.json else print(f"{map['cancelled']} items were cancelled")
    return DONE


def print_result(value: Any, as_json: bool) -> int:
    """Print a result; 1 if it is an exception."""
    is_error = isinstance(value, BaseException)
    if as_json:
        print_json({"error": describe(value)} if is_error else {"result": value})
    else:
        print(f"{type(value).__name__}: {value}" if is_error else value)
    return int(is_error)
