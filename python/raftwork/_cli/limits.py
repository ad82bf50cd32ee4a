"""``raftwork limits``: how many tasks under a key may run or start, and who holds them."""

import argparse
from typing import Any, Dict

from ._common import DONE, add_cluster_options, add_command, connect, print_fields, print_json, print_rows

_EXAMPLES = """\
  raftwork limits                               every limit that something speaks of
  raftwork limits show tenant-7                 who has the leases
  raftwork limits set tenant-7 --max 3          at most 3 at a time, whatever submits say; 0 holds all back
  raftwork limits set api --max 100 --per 1m    at most 100 starts within any minute
  raftwork limits unset tenant-7                what submits say, again
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = add_command(commands, "limits", "List, show and set limits by key.", _EXAMPLES, _list)
    add_cluster_options(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = add_command(actions, "list", "List limits.", "  raftwork limits list\n", _list)
    add_cluster_options(listing)
    example = "  raftwork limits show tenant-7\n  raftwork limits show api --rate\n"
    show = add_command(actions, "show", "Show a limit, and who has the leases under it.", example, _show)
    _add_key(show)
    example = "  raftwork limits set tenant-7 --max 3\n  raftwork limits set api --max 100 --per 1m\n"
    setting = add_command(actions, "set", "Set a limit; it stands above what submits say.", example, _set)
    setting.add_argument("key", metavar="KEY", help="what its tasks share")
    setting.add_argument("--max", type=int, required=True, metavar="N", help="how many; 0 holds all back")
    text = "how many may start within this span, as in 30s (default: how many are leased at a time)"
    setting.add_argument("--per", metavar="SPAN", help=text)
    add_cluster_options(setting)
    example = "  raftwork limits unset tenant-7\n"
    unset = add_command(actions, "unset", "Leave a limit to what submits say.", example, _unset)
    _add_key(unset)


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help="what its tasks share")
    parser.add_argument("--rate", action="store_true", help="the rate limit of this key, not the concurrency limit")
    add_cluster_options(parser)


def _kind(arguments: argparse.Namespace) -> str:
    return "rate" if arguments.rate else "concurrency"


def _list(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        found = client.limits.list()
    columns = [
        ("KIND", lambda limit: limit["kind"]),
        ("KEY", lambda limit: limit["key"]),
        ("LIMIT", _bound),
        ("USED", lambda limit: limit.get("starts", limit["held"])),
        ("TASKS", lambda limit: limit["tasks"]),
        ("", _note),
    ]
    return print_rows(arguments, columns, found, "no limits: no task names one, and none is set")


def _show(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        found = client.limits.get(arguments.key, kind=_kind(arguments))
    _print(found, arguments.json)
    return DONE


def _set(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        _print(client.limits.set(arguments.key, max=arguments.max, per=arguments.per), arguments.json)
    return DONE


def _unset(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        client.limits.unset(arguments.key, kind=_kind(arguments))
    if arguments.json:
        print_json({"kind": _kind(arguments), "key": arguments.key, "set_by_hand": False})
    else:
        print(f"{_kind(arguments)} limit '{arguments.key}' is what submits say")
    return DONE


def _print(limit: Dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(limit)
        return
    print_fields(
        [
            ("limit", f"{limit['kind']} '{limit['key']}'"),
            ("max", _bound(limit)),
            ("set by", "hand" if limit["set_by_hand"] else "submits"),
            ("tasks", f"{limit['tasks']}, {limit['held']} of them leased"),
            ("starts", limit.get("starts")),
            ("reached", _note(limit) or "no"),
        ]
    )
    for holder in limit.get("holders", []):
        print(f"  task {holder['task_id']} on worker {holder['worker_id']}")


def _bound(limit: Dict[str, Any]) -> str:
    return f"{limit['max']}/{limit['per']}" if limit.get("per") else str(limit["max"])


def _note(limit: Dict[str, Any]) -> str:
    if not limit["reached"]:
        return ""
    return f"reached, opens in {limit['opens_in']}" if limit.get("opens_in") else "reached"
