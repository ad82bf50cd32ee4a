"""What the subcommands share: the connection, tables, values as text, exit codes."""

import argparse
import contextlib
import datetime
import json
import re
import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, TextIO, Tuple

from ._errors import CommandError

if TYPE_CHECKING:
    from .._client import Client

#: Exit codes; the text is the end of every ``--help``.
DONE, FAILED, USAGE, UNREACHABLE, MISSING = 0, 1, 2, 3, 4
EXIT_CODES = """\
exit codes: 0 done; 1 failed (a task failed, or the reason is printed); 2 wrong usage;
            3 the cluster cannot be reached or has no leader; 4 no such task, function or worker
"""

Commands = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Any, name: str, summary: str, examples: str, run: Optional[Callable[[argparse.Namespace], int]] = None
) -> argparse.ArgumentParser:
    """Add a subcommand whose help ends with examples and exit codes."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary[:1].lower() + summary[1:].rstrip("."),
        description=summary,
        epilog=f"examples:\n{examples}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--url`` and ``--json``."""
    parser.add_argument("--url", metavar="URL,...", help="nodes (default: $RAFTWORK_URL, else http://127.0.0.1:7001)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def connect(arguments: argparse.Namespace) -> "Client":
    """Return a client of the cluster that the options name."""
    from .._client import Client

    return Client(arguments.url, patience="10s")


def print_json(value: Any) -> None:
    """Print a value for scripts: one line, so that many make JSON lines."""
    print(json.dumps(value, ensure_ascii=False, default=repr), flush=True)


Column = Tuple[str, Callable[[Dict[str, Any]], Any]]


def print_table(columns: Sequence[Column], rows: Sequence[Dict[str, Any]], nothing: str) -> None:
    """Print rows for people, each column as wide as it must be; ``nothing`` if there are none."""
    if not rows:
        print(nothing)
        return
    lines = [[name for name, _ in columns]]
    lines += [[_cell(value(row)) for _, value in columns] for row in rows]
    print("\n".join(aligned(lines)))


def print_rows(
    arguments: argparse.Namespace, columns: Sequence[Column], rows: Sequence[Dict[str, Any]], nothing: str
) -> int:
    """Print rows for scripts or for people, as the options say; return the exit code."""
    if arguments.json:
        print_json(rows)
    else:
        print_table(columns, rows, nothing)
    return DONE


def aligned(rows: Sequence[Sequence[str]]) -> List[str]:
    """The lines of a table for people, each column as wide as it must be."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def print_fields(fields: Iterable[Tuple[str, Any]]) -> None:
    """Print names and values for people; fields without a value are left out."""
    for name, value in fields:
        if value is not None and value != "":
            print(f"{name + ':':14}{_cell(value)}")


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)


def age(moment: Optional[str]) -> str:
    """How long ago an RFC 3339 moment was, in one unit."""
    if not moment:
        return "-"
    then = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    seconds = max(0.0, (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:.0f}s"


def value_of(text: str) -> Any:
    """An argument as typed: JSON if it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|)\s*", re.IGNORECASE)
_SIZES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def size(text: str) -> int:
    """Bytes, as in ``512MiB``, for argparse."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size; write 512MiB, 2GiB or a number of bytes")
    return int(float(match[1]) * _SIZES[match[2].lower()])


def keyword(text: str) -> Tuple[str, Any]:
    """``NAME=VALUE``, for argparse."""
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value_of(value)


@contextlib.contextmanager
def reading(path: str) -> Iterator[TextIO]:
    """Open a file that the command line names; ``-`` is standard input."""
    if path == "-":
        yield sys.stdin
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, encoding="utf-8"))
        except OSError as error:
            raise CommandError(f"cannot read {path}: {error.strerror}", USAGE) from error
        yield file


def warn(text: str) -> None:
    """Say something to people that is no result."""
    print(f"raftwork: {text}", file=sys.stderr, flush=True)


def pages(fetch: Callable[[str], Dict[str, Any]], key: str, limit: int) -> List[Dict[str, Any]]:
    """Follow cursors until there are ``limit`` items or no more."""
    items: List[Dict[str, Any]] = []
    after = ""
    while len(items) < limit:
        query = f"limit={min(1000, limit - len(items))}" + (f"&after={after}" if after else "")
        page = fetch(query)
        items += page[key]
        after = page.get("next") or ""
        if not after:
            break
    return items
