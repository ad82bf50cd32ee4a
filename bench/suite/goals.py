"""The goals that the side-by-side table checks. All are ratios within one run."""

from dataclasses import dataclass
from typing import Callable, Optional, Tuple

from .report import number
from .stats import Target, ratio

Value = Callable[[str, str, str], Optional[float]]


@dataclass(frozen=True)
class Goal:
    """Ours against theirs: each is a peer, a table and a workload (none: the best of all)."""

    what: str
    ours: Tuple[str, str, str]
    theirs: Tuple[str, str, str]
    target: Target

    @property
    def kind(self) -> str:
        """The table that our figure is in."""
        return self.ours[1]


def _tasks(what: str, peer: str, factor: float) -> Goal:
    return Goal(f"tasks end to end: {what}", ("raftwork", "end_to_end", ""), (peer, "end_to_end", ""), Target(factor))


def _latency(what: str, peer: str, factor: float) -> Goal:
    target = Target(factor, at_least=False)
    return Goal(f"latency p50: {what}", ("raftwork", "latency", ""), (peer, "latency", ""), target)


def _submits(what: str, ours: str, theirs: Tuple[str, str], factor: float) -> Goal:
    peer, workload = theirs
    return Goal(what, ("raftwork", "submission", ours), (peer, "submission", workload), Target(factor))


GOALS = (
    _tasks("Celery + Redis", "celery", 8),
    _tasks("Restate, 3 nodes", "restate-3", 10),
    _tasks("Dask distributed", "dask", 8),
    _tasks("Ray core", "ray", 3),
    _tasks("Huey + Redis", "huey", 2),
    Goal(
        "tasks end to end: puts of etcd, 256 clients",
        ("raftwork", "end_to_end", ""),
        ("etcd", "submission", "256"),
        Target(0.4),
    ),
    _latency("Celery + Redis", "celery", 0.8),
    _latency("Restate, 3 nodes", "restate-3", 0.3),
    _latency("Ray core (aim)", "ray", 1.0),
    _submits("submits by batch: puts of etcd, 256 clients", "batch", ("etcd", "256"), 3),
    _submits("submits by batch: NATS R3 always, 1,000 in flight", "batch", ("nats", "1000"), 1),
    _submits("single REST submits, 256 connections: etcd, 256 clients", "rest-256", ("etcd", "256"), 0.8),
)


def judge(goal: Goal, value: Value) -> Optional[Tuple[str, str, str, str, str, str]]:
    """A row of the table of goals, if both sides were measured."""
    ours, theirs = value(*goal.ours), value(*goal.theirs)
    if ours is None or theirs is None:
        return None
    measured = ratio(ours, theirs)
    verdict = "met" if goal.target.met(measured) else "missed"
    return (goal.what, number(ours), number(theirs), f"{number(measured)}x", str(goal.target), verdict)
