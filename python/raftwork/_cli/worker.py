"""``raftwork worker``: leases tasks and runs them in Python child processes."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, List

from .._urls import node_urls
from ._common import add_command, size
from ._errors import CommandError

_EXAMPLES = """\
  raftwork worker --url http://127.0.0.1:7001
  raftwork worker --url http://n1:7001,http://n2:7001 --slots 8 --mode pull --path ~/project

SIGTERM or Ctrl-C: takes nothing more, finishes what runs, leaves. A second one: leaves at once.
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    summary = "Run a worker: it leases tasks from whichever node leads, and runs each in a process of its own."
    parser = add_command(commands, "worker", summary, _EXAMPLES, _run)
    parser.add_argument("--url", metavar="URL,...", help="nodes (default: $RAFTWORK_URL, else http://127.0.0.1:7001)")
    parser.add_argument("--name", default="", help="for people (default: host and process id)")
    parser.add_argument("--slots", type=int, help="tasks that run at once (default: one for each processor)")
    parser.add_argument("--prefetch", type=int, help="tasks held beyond the slots (default: by their run times)")
    text = "what it offers beside its Python, as in gpu,zone=eu"
    parser.add_argument("--tags", type=_tags, default=[], metavar="TAG,...", help=text)
    parser.add_argument("--mode", choices=("push", "pull"), default="push", help="who takes the first step")
    parser.add_argument(
        "--path", action="append", default=[], metavar="DIR", help="folder with modules that functions need; repeatable"
    )
    parser.add_argument("--preload", action="append", default=[], metavar="MODULE", help="import it once; repeatable")
    add_child_options(parser)


def add_child_options(parser: argparse.ArgumentParser) -> None:
    """Add what bounds the processes that run tasks."""
    text = "a task whose processes use more is stopped, as in 2GiB (default: no limit)"
    parser.add_argument("--memory-limit", type=size, metavar="SIZE", help=text)
    text = "replace a process after so many tasks"
    parser.add_argument("--recycle-tasks", type=int, metavar="N", dest="max_tasks_per_child", help=text)
    text = "replace a process that uses more after a task"
    parser.add_argument("--recycle-memory", type=size, metavar="SIZE", dest="max_rss_per_child", help=text)


def _tags(text: str) -> List[str]:
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def config(arguments: argparse.Namespace) -> str:
    """The worker's configuration in JSON, as the extension takes it."""
    values = {
        "urls": node_urls(arguments.url),
        "python": sys.executable,
        "package_dir": str(Path(__file__).resolve().parent.parent),
        "name": arguments.name,
        "prefetch": arguments.prefetch,
        "mode": arguments.mode,
        "tags": arguments.tags,
        "path_dirs": [str(Path(folder).resolve()) for folder in arguments.path],
        "preload": arguments.preload,
        "memory_limit": arguments.memory_limit,
        "max_tasks_per_child": arguments.max_tasks_per_child,
        "max_rss_per_child": arguments.max_rss_per_child,
    }
    if arguments.slots is not None:
        values["slots"] = arguments.slots
    return json.dumps(values)


def _run(arguments: argparse.Namespace) -> int:
    from .._core import run_worker

    try:
        reason, orderly = run_worker(config(arguments))
    except (ValueError, RuntimeError) as error:
        raise CommandError(str(error)) from error
    print(f"raftwork worker: {reason}", file=sys.stderr)
    return 0 if orderly else 1
