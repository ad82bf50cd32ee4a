"""Medians, percentiles and ratios. Nothing here looks at a clock or a file."""

import math
from dataclasses import dataclass
from statistics import median
from typing import Dict, List, Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank: the smallest value that ``percent`` of all values do not exceed."""
    if not values:
        raise ValueError("no values, no percentile")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


@dataclass(frozen=True)
class Spread:
    """The same thing measured in several rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        return cls(median(values), min(values), max(values))


def latencies(milliseconds: Sequence[float]) -> Dict[str, float]:
    """The percentiles that are reported of latencies."""
    return {
        "p50_ms": percentile(milliseconds, 50),
        "p99_ms": percentile(milliseconds, 99),
        "p99_9_ms": percentile(milliseconds, 99.9),
        "max_ms": max(milliseconds),
    }


def medians(rounds: Sequence[Dict[str, float]]) -> Dict[str, float]:
    """Median of each figure over the rounds that have it."""
    names: List[str] = list(dict.fromkeys(name for one in rounds for name in one))
    return {name: median([one[name] for one in rounds if name in one]) for name in names}


def ratio(ours: float, theirs: float) -> float:
    """``ours / theirs``; infinite if theirs is nothing."""
    return ours / theirs if theirs else math.inf


@dataclass(frozen=True)
class Target:
    """A goal that is a ratio: ``ours / theirs`` must be at least (or at most) ``factor``."""

    factor: float
    at_least: bool = True

    def met(self, measured: float) -> bool:
        """Whether a measured ratio reaches the goal."""
        return measured >= self.factor if self.at_least else measured <= self.factor

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.factor:g}x"
