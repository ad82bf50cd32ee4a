"""How thoroughly to measure."""

from dataclasses import dataclass
from typing import Tuple

_SIZES = {"end_to_end": 10_000, "latency": 500, "submission": 10_000}
_QUICK_SIZES = {"end_to_end": 2_000, "latency": 200, "submission": 2_000}
_GENERATOR_MS = 4_000
_QUICK_GENERATOR_MS = 2_000


@dataclass(frozen=True)
class Context:
    """What the command line says."""

    quick: bool = False
    rounds: int = 3
    #: Length of the soak.
    minutes: float = 10.0
    #: Seconds to wait for a quiet machine before each measurement.
    patience: float = 60.0
    #: Tasks queued in the depth experiment; none for its own choice.
    depths: Tuple[int, ...] = ()
    #: Leaders killed, and asked to hand over, in the fail-over experiment.
    kills: int = 5
    transfers: int = 5

    def size(self, kind: str, share: float = 1.0, generator: bool = False) -> int:
        """Items of a workload, or milliseconds of the load generator."""
        if generator:
            return _QUICK_GENERATOR_MS if self.quick else _GENERATOR_MS
        sizes = _QUICK_SIZES if self.quick else _SIZES
        # A quick run leaves out nothing of what is small already.
        return int(sizes[kind] * (max(1.0, share) if self.quick else share))
