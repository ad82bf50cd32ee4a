"""The interface of an experiment."""

from dataclasses import dataclass
from typing import Callable

from ..build import Binaries
from ..context import Context
from ..report import Report


@dataclass(frozen=True)
class Experiment:
    """Something that can be measured of a build of Raftwork."""

    #: As it is chosen on the command line.
    name: str
    #: For people, one line.
    summary: str
    run: Callable[[Context, Binaries], Report]
    #: Whether the load generator must be built.
    needs_load: bool = False
