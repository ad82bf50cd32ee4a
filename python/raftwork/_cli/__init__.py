"""The command ``raftwork``: one module for each subcommand.

Exit codes: 0 done; 1 failed (the reason is printed); 2 wrong usage.
"""

import argparse
import sys
from typing import Optional, Sequence

from . import dev, worker
from ._errors import CommandError

_COMMANDS = (dev, worker)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="raftwork",
        description="Runs Python functions on a cluster that does not lose them.",
        epilog="Start with: raftwork dev",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except CommandError as error:
        print(f"raftwork: {error}", file=sys.stderr)
        return 1
