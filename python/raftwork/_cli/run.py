"""``raftwork run``: one call of a function, on the cluster."""

import argparse
import sys
import uuid
from typing import TYPE_CHECKING, Any, Callable, Dict

from .._after import POLICIES
from .._span import milliseconds
from ._common import (
    DONE,
    FAILED,
    USAGE,
    add_cluster_options,
    add_command,
    connect,
    keyword,
    print_json,
    value_of,
    warn,
)
from ._errors import CommandError

if TYPE_CHECKING:
    from .._client import Client
    from .._function import Function

_EXAMPLES = """\
  raftwork run examples/hello.py:greet Ada
  raftwork run mypackage.jobs:report 2026 --kw month=11 --timeout 5m --retries 3
  raftwork run job.py:train --after TASK_ID   once that task has completed
  raftwork run job.py:train --detach          print the task id and return; then:
  raftwork tasks result TASK_ID --wait 10m
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = add_command(commands, "run", "Run one call of a function on the cluster.", _EXAMPLES, _run)
    parser.add_argument("target", metavar="TARGET", help="file.py:function, or package.module:function")
    parser.add_argument("args", nargs="*", metavar="ARG", type=value_of, help="JSON, or else the text itself")
    parser.add_argument("--kw", action="append", default=[], type=keyword, metavar="NAME=VALUE", help="repeatable")
    add_task_options(parser)
    text = "not before this task has ended; repeatable"
    parser.add_argument("--after", action="append", type=_task, metavar="ID", help=text)
    text = "if one of those tasks has no result: fail as well (the default), or run all the same"
    parser.add_argument("--on-failure", choices=POLICIES, help=text)
    parser.add_argument("-d", "--detach", action="store_true", help="do not wait for the result")
    add_cluster_options(parser)


def add_task_options(parser: argparse.ArgumentParser, scheduled: bool = False) -> None:
    """Add what a submit may ask for; that of a schedule names no date, for the schedule does."""
    moment = "then" if scheduled else "now"
    parser.set_defaults(run_at=None)
    parser.add_argument(
        "--include", action="append", default=[], metavar="MODULE", help="ship a local module along; repeatable"
    )
    text = "only on workers that offer this; repeatable"
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", dest="tags", help=text)
    text = "have workers install a package for it, as pip names it; repeatable"
    parser.add_argument("--requirement", action="append", default=[], metavar="NAME", dest="requirements", help=text)
    text = "at most MAX tasks under KEY are leased at a time"
    parser.add_argument("--concurrency", type=concurrency, metavar="KEY:MAX", help=text)
    text = "at most MAX tasks under KEY start within any SPAN, as in api:100/1m"
    parser.add_argument("--rate", type=rate, metavar="KEY:MAX/SPAN", help=text)
    held = parser.add_mutually_exclusive_group()
    held.add_argument("--delay", metavar="SPAN", help=f"not before so long from {moment}, as in 5m")
    if not scheduled:
        held.add_argument("--run-at", metavar="DATE", help="not before this date, as in 2026-12-24T18:00:00+01:00")
    parser.add_argument("--timeout", metavar="SPAN", help="longest run of one try, as in 30s")
    text = "fail, and never run, unless a worker has it by then"
    parser.add_argument("--start-by", metavar="SPAN", help=text)
    text = "fail unless it has ended by then, with all its tries and pauses"
    parser.add_argument("--total-timeout", metavar="SPAN", help=text)
    parser.add_argument("--retries", type=int, metavar="N", help="tries after a failed first one (default: 0)")
    text = "an exception that is final, and those derived from it; repeatable"
    parser.add_argument("--no-retry", action="append", default=[], metavar="ERROR", help=text)
    parser.add_argument("--priority", type=int, choices=range(10), metavar="0..9", help="higher starts first; 5")


def with_task_options(
    client: "Client", function: Callable[..., Any], arguments: argparse.Namespace
) -> "Function[..., Any]":
    """The function with what the options of :func:`add_task_options` say."""
    return client.function(
        tags=arguments.tags,
        include=arguments.include,
        requirements=arguments.requirements,
        no_retry=arguments.no_retry,
        start_by=arguments.start_by,
        total_timeout=arguments.total_timeout,
    )(function).options(
        timeout=arguments.timeout,
        retries=arguments.retries,
        priority=arguments.priority,
        delay=arguments.delay,
        run_at=arguments.run_at,
        concurrency=arguments.concurrency,
        rate=arguments.rate,
    )


def _run(arguments: argparse.Namespace) -> int:
    from ._target import load

    if arguments.on_failure and not arguments.after:
        text = "--on-failure says what happens if a task of --after fails: name those, or leave it out"
        raise CommandError(text, USAGE)
    function = load(arguments.target)
    with connect(arguments) as client:
        submittable = with_task_options(client, function, arguments)
        submittable = submittable.options(after=arguments.after, on_failure=arguments.on_failure)
        handle = submittable.submit(*arguments.args, **dict(arguments.kw))
        if arguments.detach:
            print_json({"task_id": handle.id}) if arguments.json else print(handle.id)
            return DONE
        if sys.stderr.isatty():
            warn(f"task {handle.id}")
        try:
            error = handle.exception()
        except KeyboardInterrupt:
            warn(f"no longer waiting; the task goes on: raftwork tasks result {handle.id}")
            raise
        return report(handle.id, handle.result() if error is None else None, error, arguments.json)


def _task(text: str) -> uuid.UUID:
    """The id of a task, for argparse."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not the id of a task") from None


def report(task: str, value: Any, error: Any, as_json: bool) -> int:
    """Print a result, or why there is none."""
    if error is None:
        print_json({"task_id": task, "result": value}) if as_json else print(value)
        return DONE
    if as_json:
        print_json({"task_id": task, "error": describe(error)})
    else:
        warn(f"task {task} failed: {describe(error)['type']}: {error}")
        for note in getattr(error, "__notes__", []):
            warn(note)
        if error.__cause__ is not None:
            print(getattr(error.__cause__, "traceback", "").rstrip(), file=sys.stderr)
    return FAILED


def describe(error: BaseException) -> Any:
    """An exception in JSON."""
    traceback = getattr(error.__cause__, "traceback", "")
    return {"type": type(error).__name__, "message": str(error), "traceback": traceback}


def concurrency(text: str) -> Dict[str, Any]:
    """``KEY:MAX``, for argparse."""
    key, separator, most = text.rpartition(":")
    if not separator or not most.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not KEY:MAX, as in tenant-7:3")
    return {"key": key, "max": int(most)}


def rate(text: str) -> Dict[str, Any]:
    """``KEY:MAX/SPAN``, for argparse."""
    rest, separator, per = text.rpartition("/")
    if not separator:
        raise argparse.ArgumentTypeError(f"'{text}' is not KEY:MAX/SPAN, as in api:100/1m")
    return {**concurrency(rest), "per": span(per)}


def span(text: str) -> float:
    """Seconds, for argparse."""
    try:
        return milliseconds(text) / 1000
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
