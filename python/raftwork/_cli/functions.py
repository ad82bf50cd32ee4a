"""``raftwork functions``: what can be run."""

import argparse
from typing import Any

from ._common import (
    DONE,
    add_cluster_options,
    add_command,
    age,
    connect,
    pages,
    print_fields,
    print_json,
    print_rows,
    reading,
)
from ._errors import CommandError

_EXAMPLES = """\
  raftwork functions
  raftwork functions show FUNCTION_ID
  raftwork functions register add.py --name add      source text, with JSON arguments: for curl and other languages
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = add_command(commands, "functions", "List, show and register functions.", _EXAMPLES, _list)
    _add_list_options(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = add_command(actions, "list", "List functions, newest first.", "  raftwork functions list\n", _list)
    _add_list_options(listing)
    show = add_command(actions, "show", "Show a function.", "  raftwork functions show FUNCTION_ID\n", _show)
    show.add_argument("id", metavar="FUNCTION_ID")
    show.add_argument("--code", action="store_true", help="print its source text as well, if that is what it is")
    add_cluster_options(show)
    summary = "Register a file of Python source: arguments and results are JSON."
    register = add_command(actions, "register", summary, "  raftwork functions register add.py --name add\n", _register)
    register.add_argument("file", metavar="FILE")
    register.add_argument("--name", required=True, help="the function in the file that is called")
    register.add_argument("--timeout", metavar="SPAN", help="longest run of one try, as in 30s")
    register.add_argument("--retries", type=int, default=0, metavar="N", help="tries after a failed first one")
    add_cluster_options(register)


def _add_list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="most functions to list (default: 50)")
    add_cluster_options(parser)


def _list(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        found = pages(lambda query: client.rest("GET", f"/v1/functions?{query}"), "functions", arguments.limit)
    columns = [
        ("FUNCTION", lambda function: function["function_id"]),
        ("NAME", lambda function: function["name"]),
        ("FORMAT", lambda function: function["format"]),
        ("PYTHON", lambda function: function["python"]),
        ("TRIES", lambda function: function["retry"]["max_attempts"]),
        ("TIMEOUT", lambda function: function["timeout"]),
        ("AGE", lambda function: age(function["registered_at"])),
    ]
    return print_rows(arguments, columns, found, "no functions")


def _show(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        function = client.rest("GET", f"/v1/functions/{arguments.id}")
        code = None
        if arguments.code and function["format"] == "source":
            status, body = client._core.rest("GET", f"/v1/functions/{arguments.id}/code")
            code = body.decode() if status == 200 else None
    if arguments.json:
        print_json({**function, "code": code} if arguments.code else function)
        return DONE
    retry = function["retry"]
    print_fields(
        [
            ("function", function["function_id"]),
            ("name", function["name"]),
            ("format", function["format"]),
            ("python", function["python"] or "any"),
            ("tries", retry["max_attempts"]),
            ("pauses", f"{retry['initial_ms']} ms to {retry['max_ms']} ms" if retry["max_attempts"] > 1 else None),
            ("timeout", function["timeout"]),
            ("retention", function["retention"]),
            ("registered", function["registered_at"]),
            ("code hash", function["code_hash"]),
        ]
    )
    if code:
        print("\n" + code.rstrip())
    return DONE


def _register(arguments: argparse.Namespace) -> int:
    with reading(arguments.file) as file:
        source = file.read()
    try:
        compile(source, arguments.file, "exec")
    except SyntaxError as error:
        raise CommandError(f"{arguments.file}, line {error.lineno}: {error.msg}") from error
    body = {"name": arguments.name, "format": "source", "code": source, "timeout": arguments.timeout}
    if arguments.retries:
        body["retry"] = {"max_attempts": arguments.retries + 1, "initial_ms": 1000, "max_ms": 60_000}
    with connect(arguments) as client:
        answer = client.rest("POST", "/v1/functions", body)
    print_json(answer) if arguments.json else print(answer["function_id"])
    return DONE
