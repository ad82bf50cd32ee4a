"""The command ``raftwork``: one module for each subcommand.

Exit codes: 0 done; 1 failed (a task failed, or the reason is printed); 2 wrong usage; 3 the cluster cannot be reached
or has no leader; 4 no such task, function or worker.
"""

import argparse
import os
import sys
from typing import Optional, Sequence

from .. import __version__
from . import cluster, completion, dev, functions, limits, map, maps, run, schedules, tasks, top, worker, workers
from ._common import EXIT_CODES, FAILED, MISSING, UNREACHABLE, warn
from ._errors import CommandError

_COMMANDS = (dev, worker, run, map, maps, tasks, functions, schedules, limits, workers, cluster, top, completion)

_EPILOG = f"""\
start with:
  raftwork dev                            a cluster on this machine, until Ctrl-C
  raftwork run examples/hello.py:greet Ada
  raftwork tasks

{EXIT_CODES}"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line and return the exit code."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except CommandError as error:
        warn(str(error))
        return error.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has seen enough; nothing may be written to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return _explain(error)


def parser() -> argparse.ArgumentParser:
    """The whole grammar."""
    root = argparse.ArgumentParser(
        prog="raftwork",
        description="Runs Python functions on a cluster that does not lose them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"raftwork {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return root


def _explain(error: Exception) -> int:
    """One line on what is wrong and what to do, for the errors that people meet; anything else is a defect."""
    from ..errors import (
        ClusterError,
        SerializationError,
        Unavailable,
        UnknownFunction,
        UnknownLimit,
        UnknownMap,
        UnknownSchedule,
        UnknownTask,
    )

    if isinstance(error, Unavailable):
        warn(f"{error}; is the cluster running? Start one with: raftwork dev, or name it: --url or $RAFTWORK_URL")
        return UNREACHABLE
    if isinstance(error, (UnknownTask, UnknownMap, UnknownFunction, UnknownLimit, UnknownSchedule)):
        warn(str(error))
        return MISSING
    if isinstance(error, (ClusterError, SerializationError)):
        warn(str(error))
        return FAILED
    raise error
