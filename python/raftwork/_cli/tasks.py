"""``raftwork tasks``: what was submitted, and what became of it."""

import argparse
import sys
import uuid
from typing import TYPE_CHECKING, Any, Dict, Iterator, List
from urllib.parse import quote

from ..errors import AlreadyFinished, NotRedrivable
from ._common import (
    DONE,
    FAILED,
    MISSING,
    USAGE,
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
from ._errors import CommandError
from .run import report, span

if TYPE_CHECKING:
    from .._client import Client

_EXAMPLES = """\
  raftwork tasks                              the newest ones
  raftwork tasks list --status failed --limit 20
  raftwork tasks --parked                     those that are not tried again by themselves
  raftwork tasks show TASK_ID
  raftwork tasks result TASK_ID --wait 30s
  raftwork tasks logs -f TASK_ID
  raftwork tasks explain TASK_ID              why is it not running?
  raftwork tasks cancel TASK_ID TASK_ID
  raftwork tasks redrive --all                once the cause is gone: run parked tasks again
"""
_REDRIVE_EXAMPLES = """\
  raftwork tasks redrive TASK_ID TASK_ID
  raftwork tasks redrive --function resize                    every parked task of a function
  raftwork tasks redrive --all                                every parked task
  raftwork tasks redrive --all --status failed --json         every failed one
"""

_STATUSES = ("waiting", "queued", "running", "completed", "failed", "parked", "cancelled")


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        commands, "tasks", "List tasks; show, cancel, redrive, and get results and logs.", _EXAMPLES, _list
    )
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
    summary = "Run tasks that failed or were parked again, each as a new task; no task twice."
    redrive = add_command(actions, "redrive", summary, _REDRIVE_EXAMPLES, _redrive)
    redrive.add_argument("ids", nargs="*", metavar="TASK_ID")
    redrive.add_argument("--all", action="store_true", help="all that were parked and not redriven yet")
    redrive.add_argument(
        "--function", metavar="NAME", help="likewise, but only tasks of this function (or function id)"
    )
    text = "with --all or --function: the failed ones instead"
    redrive.add_argument("--status", choices=("parked", "failed"), default="parked", help=text)
    add_cluster_options(redrive)


def _add_action(actions: Any, name: str, summary: str, run: Any) -> argparse.ArgumentParser:
    parser = add_command(actions, name, summary, f"  raftwork tasks {name} TASK_ID\n", run)
    parser.add_argument("id", metavar="TASK_ID")
    add_cluster_options(parser)
    return parser


def _add_list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--status", choices=_STATUSES, help="only these")
    text = "only tasks that killed their process, or lost their worker, too often"
    parser.add_argument("--parked", action="store_const", const="parked", dest="status", help=text)
    parser.add_argument("--function", metavar="NAME", help="only tasks of this function (or function id)")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="most tasks to list (default: 50)")
    add_cluster_options(parser)


def _list(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        tasks = list(_listed(client, arguments.status, arguments.function, arguments.limit))
    columns = [
        ("TASK", lambda task: task["task_id"]),
        ("STATUS", lambda task: task["status"]),
        ("AGE", lambda task: age(task["submitted_at"])),
        ("TRIES", _tries),
        ("NOTE", _note),
    ]
    return print_rows(arguments, columns, tasks, "no tasks")


def _listed(client: "Client", status: str, function: str, limit: int) -> Iterator[Dict[str, Any]]:
    """Tasks with this status and of this function, where given, newest first; functions of one name one by one."""
    for id in _functions(client, function) if function else [""]:
        only = f"&status={status}" if status else ""
        only += f"&function_id={quote(id)}" if id else ""

        def ask(query: str, only: str = only) -> Any:
            return client.rest("GET", f"/v1/tasks?{query}{only}")

        found = pages(ask, "tasks", limit)
        yield from found
        limit -= len(found)


def _functions(client: "Client", name: str) -> List[str]:
    """The ids of all functions of this name; an id stands for itself."""
    try:
        return [str(uuid.UUID(name))]
    except ValueError:
        pass
    known = pages(lambda query: client.rest("GET", f"/v1/functions?{query}"), "functions", sys.maxsize)
    ids = [function["function_id"] for function in known if function["name"] == name]
    if not ids:
        raise CommandError(f"there is no function named '{name}'; see: raftwork functions", MISSING)
    return ids


def _tries(task: Dict[str, Any]) -> int:
    counters = task["counters"]
    ended = int(counters["failures"] + counters["crashes"] + counters["losses"])
    return ended + (task["status"] in ("running", "completed"))


def _note(task: Dict[str, Any]) -> str:
    if task.get("progress"):
        return _progress(task["progress"])[:80]
    error = task.get("error")
    if error:
        name = error["type"] or error["kind"]
        return f"{name}: {error['message']}"[:80]
    return task.get("waiting_for") or ""


def _progress(progress: Dict[str, Any]) -> str:
    done, total = progress["done"], progress.get("total")
    text = f"{done}" if total is None else f"{done} of {total}" + (f" ({100 * done // total} %)" if total else "")
    return f"{text}: {progress['message']}" if progress.get("message") else text


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
            ("progress", task.get("progress") and _progress(task["progress"])),
            ("waiting for", task.get("waiting_for")),
            ("function", task["function_id"]),
            ("priority", task["priority"]),
            ("tags", ", ".join(task.get("tags", []))),
            ("concurrency", _limit(task.get("concurrency"))),
            ("rate", _limit(task.get("rate"))),
            ("schedule", _origin(task.get("schedule"))),
            ("run at", task.get("run_at")),
            ("after", ", ".join(task.get("after", []))),
            ("on failure", task.get("on_failure")),
            ("start by", task.get("start_by")),
            ("total timeout", task.get("total_timeout")),
            ("not retried", ", ".join(task.get("no_retry", []))),
            ("redrive of", task.get("redrive_of")),
            ("redriven as", task.get("redriven_as")),
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


def _origin(schedule: Any) -> Any:
    return schedule and f"{schedule['name']}, for {schedule['nominal']}"


def _limit(limit: Any) -> Any:
    """``KEY:MAX``, or ``KEY:MAX/SPAN``."""
    if not limit:
        return None
    return f"{limit['key']}:{limit['max']}" + (f"/{limit['per']}" if "per" in limit else "")


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


def _redrive(arguments: argparse.Namespace) -> int:
    several = arguments.all or arguments.function
    if bool(arguments.ids) == bool(several):
        raise CommandError("name tasks, or choose them by --all or --function", USAGE)
    failed = False
    with connect(arguments) as client:
        for id in _to_redrive(client, arguments) if several else arguments.ids:
            try:
                again = client.get(id).redrive().id
            except NotRedrivable as error:
                failed = True
                _say_redriven({"task_id": id, "redriven_as": None, "reason": str(error)}, arguments.json)
            else:
                _say_redriven({"task_id": id, "redriven_as": again}, arguments.json)
    return FAILED if failed else DONE


def _to_redrive(client: "Client", arguments: argparse.Namespace) -> List[str]:
    listed = _listed(client, arguments.status, arguments.function, sys.maxsize)
    ids = [task["task_id"] for task in listed if not task.get("redriven_as")]
    if not ids:
        warn(f"no {arguments.status} task that was not redriven yet")
    return ids


def _say_redriven(outcome: Dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(outcome)
    else:
        print(outcome.get("reason") or f"task {outcome['task_id']} runs again as {outcome['redriven_as']}")
