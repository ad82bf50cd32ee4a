"""``raftwork tasks``: what was submitted, and what became of it."""

import argparse
from typing import Any, Dict
from urllib.parse import quote

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
    print_table,
    warn,
)
from .run import report, span

_EXAMPLES = """\
  raftwork tasks                              the newest ones
  raftwork tasks list --status failed --limit 20
  raftwork tasks show TASK_ID
  raftwork tasks result TASK_ID --wait 30s
  raftwork tasks logs -f TASK_ID
  raftwork tasks explain TASK_ID              why is it not running?
  raftwork tasks cancel TASK_ID TASK_ID
"""

_STATUSES = ("waiting", "queued", "running", "completed", "failed", "parked", "cancelled")


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = add_command(commands, "tasks", "List tasks; show, cancel, and get results and logs.", _EXAMPLES, _list)
    _add_list_options(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    example = "  raftwork tasks list --status running\n"
    listing = add_command(actions, "list", "List tasks, newest first.", example, _list)
    _add_list_options(listing)
    _add_action(actions, "show", "Show everything that is known of a task.", _show)
    result = _add_action(actions, "result", "Print the result of a task.", _result)
    result.add_argument("--wait", type=span, default=0.0, metavar="SPAN", help="wait for it, as in 30s")
    logs = _add_action(actions, "logs", "Print what a task has printed.", _logs)
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the task has ended")
    _add_action(actions, "explain", "Say why a task is not running, or how it ended.", _explain)
    cancel = add_command(actions, "cancel", "Cancel tasks.", "  raftwork tasks cancel TASK_ID TASK_ID\n", _cancel)
    cancel.add_argument("ids", nargs="+", metavar="TASK_ID")
    add_cluster_options(cancel)


def _add_action(actions: Any, name: str, summary: str, run: Any) -> argparse.ArgumentParser:
    parser = add_command(actions, name, summary, f"  raftwork tasks {name} TASK_ID\n", run)
    parser.add_argument("id", metavar="TASK_ID")
    add_cluster_options(parser)
    return parser


def _add_list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--status", choices=_STATUSES, help="only these")
    parser.add_argument("--function", metavar="ID", help="only tasks of this function")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="most tasks to list (default: 50)")
    add_cluster_options(parser)


def _list(arguments: argparse.Namespace) -> int:
    only = f"&status={arguments.status}" if arguments.status else ""
    only += f"&function_id={quote(arguments.function)}" if arguments.function else ""
    with connect(arguments) as client:
        tasks = pages(lambda query: client.rest("GET", f"/v1/tasks?{query}{only}"), "tasks", arguments.limit)
    if arguments.json:
        print_json(tasks)
        return DONE
    columns = [
        ("TASK", lambda task: task["task_id"]),
        ("STATUS", lambda task: task["status"]),
        ("AGE", lambda task: age(task["submitted_at"])),
        ("TRIES", _tries),
        ("NOTE", _note),
    ]
    print_table(columns, tasks, "no tasks")
    return DONE


def _tries(task: Dict[str, Any]) -> int:
    counters = task["counters"]
    ended = int(counters["failures"] + counters["crashes"] + counters["losses"])
    return ended + (task["status"] in ("running", "completed"))


def _note(task: Dict[str, Any]) -> str:
    error = task.get("error")
    if error:
        name = error["type"] or error["kind"]
        return f"{name}: {error['message']}"[:80]
    return task.get("waiting_for") or ""


def _show(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        task = client.get(arguments.id).info()
    if arguments.json:
        print_json(task)
        return DONE
    error = task.get("error") or {}
    counters = task["counters"]
    print_fields(
        [
            ("task", task["task_id"]),
            ("status", task["status"]),
            ("waiting for", task.get("waiting_for")),
            ("function", task["function_id"]),
            ("priority", task["priority"]),
            ("tags", ", ".join(task.get("tags", []))),
            ("submitted", task["submitted_at"]),
            ("finished", task.get("finished_at")),
            ("worker", task.get("worker_id")),
            ("token", task["token"] or None),
            ("tries ended", _counted(counters)),
            ("error", error and f"{error['kind']}: {error['type']}: {error['message']}"),
        ]
    )
    if error.get("traceback"):
        print("\n" + error["traceback"].rstrip())
    return DONE


def _result(arguments: argparse.Namespace) -> int:
    from concurrent.futures import TimeoutError as FutureTimeoutError

    with connect(arguments) as client:
        handle = client.get(arguments.id)
        status = handle.status()
        if status in ("waiting", "queued", "running") and not arguments.wait:
            warn(f"task {handle.id} is {status}; wait for it with --wait 30s")
            return FAILED
        try:
            # A finished task's record is on its way at once; that takes no more than this.
            error = handle.exception(arguments.wait or 10.0)
        except FutureTimeoutError as not_yet:
            warn(str(not_yet))
            return FAILED
        return report(handle.id, handle.result() if error is None else None, error, arguments.json)


_SINGULAR = {"failures": "failure", "crashes": "crash", "losses": "loss", "returns": "return"}


def _counted(counters: Dict[str, int]) -> str:
    return ", ".join(f"{count} {name if count > 1 else _SINGULAR[name]}" for name, count in counters.items() if count)


def _explain(arguments: argparse.Namespace) -> int:
    from .._follow import why

    with connect(arguments) as client:
        explanation = client.get(arguments.id).explain()
    if arguments.json:
        print_json(explanation)
    else:
        print(f"task {explanation['task_id']} is {explanation['status']}: {why(explanation)}")
    return DONE


def _logs(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        handle = client.get(arguments.id)
        if arguments.follow:
            for piece in handle.logs(follow=True):
                print_json({"text": piece}) if arguments.json else print(piece, end="", flush=True)
            return DONE
        attempts = client.rest("GET", f"/v1/tasks/{handle.id}/logs")["attempts"]
    if arguments.json:
        print_json(attempts)
        return DONE
    for number, attempt in enumerate(attempts, start=1):
        if len(attempts) > 1:
            print(f"--- try {number}, token {attempt['token']}")
        print(attempt["stdout"] + attempt["stderr"], end="")
    return DONE


def _cancel(arguments: argparse.Namespace) -> int:
    outcomes = []
    with connect(arguments) as client:
        for id in arguments.ids:
            try:
                client._core.cancel(client.get(id)._bytes)
                outcomes.append({"task_id": id, "cancelled": True})
            except AlreadyFinished as error:
                outcomes.append({"task_id": id, "cancelled": False, "reason": str(error)})
    for outcome in outcomes:
        if arguments.json:
            print_json(outcome)
        else:
            print(outcome.get("reason") or f"task {outcome['task_id']} is cancelled")
    return DONE if all(outcome["cancelled"] for outcome in outcomes) else FAILED
