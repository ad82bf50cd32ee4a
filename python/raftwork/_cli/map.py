"""``raftwork map``: one function over many arguments, on the cluster."""

import argparse
import json
import sys
from typing import Any, Iterable, Iterator, List

from ._common import DONE, FAILED, add_cluster_options, add_command, connect, reading, value_of, warn
from ._errors import CommandError
from .maps import print_result
from .run import add_task_options, with_task_options

_EXAMPLES = """\
  raftwork map job.py:square 1 2 3
  raftwork map job.py:square --range 100000 --unordered > squares.txt
  raftwork map job.py:resize --lines files.txt        one call for each line
  seq 10 | raftwork map job.py:square --jsonl -       one call for each JSON value
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    summary = "Run a function once for each of many arguments; print a result a line, in order."
    parser = add_command(commands, "map", summary, _EXAMPLES, _run)
    parser.add_argument("target", metavar="TARGET", help="file.py:function, or package.module:function")
    parser.add_argument("args", nargs="*", metavar="ARG", type=value_of, help="one call each; JSON, or else text")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--range", type=int, metavar="N", help="the numbers below N")
    source.add_argument("--lines", metavar="FILE", help="a text for each line (- is stdin)")
    source.add_argument("--jsonl", metavar="FILE", help="a JSON value for each line")
    parser.add_argument("--unordered", action="store_true", help="results as they come")
    add_task_options(parser)
    add_cluster_options(parser)


def inputs(arguments: argparse.Namespace) -> Iterable[Any]:
    """The arguments, read as they are needed."""
    if arguments.range is not None:
        return range(arguments.range)
    if arguments.lines is not None:
        return _lines(arguments.lines)
    if arguments.jsonl is not None:
        return _json_lines(arguments.jsonl)
    values: List[Any] = arguments.args
    return values


def _lines(path: str) -> Iterator[str]:
    with reading(path) as file:
        for line in file:
            yield line.rstrip("\n")


def _json_lines(path: str) -> Iterator[Any]:
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise CommandError(f"line {number} of {path} is not JSON: {error}") from error


def _run(arguments: argparse.Namespace) -> int:
    from ._target import load

    function = load(arguments.target)
    with connect(arguments) as client:
        submittable = with_task_options(client, function, arguments).options(
            ordered=not arguments.unordered,
            return_exceptions=True,
            # Results and a bar would overwrite each other on one terminal.
            progress=not sys.stdout.isatty(),
        )
        results = submittable.map(inputs(arguments))
        failed = sum(print_result(value, arguments.json) for value in results)
    if failed:
        warn(f"{failed} of {results.submitted} tasks failed")
    return FAILED if failed else DONE
