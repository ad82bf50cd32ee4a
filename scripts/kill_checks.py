"""What must hold after faults, decided from what was seen: pure functions, no cluster needed.

A run leaves three histories: what was acknowledged and how it ended (asked of the nodes), which executions there were
(a side file that the tasks themselves write), and which processes were killed when (this program's own log).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Callable


@dataclass(frozen=True)
class Accepted:
    """A task that a node acknowledged."""

    task_id: str
    number: int
    """The task's argument; it decides the right result."""


@dataclass(frozen=True)
class Ending:
    """How a task ended, as one node told it at one moment."""

    node: str
    status: str
    token: int
    """Token of the grant that ended it."""
    finished_at: str | None
    result: object
    """The unpickled result; whatever was there instead if it could not be unpickled."""

    def record(self) -> tuple[str, int, str | None, str]:
        """Everything that must be the same on every node, for ever."""
        return (self.status, self.token, self.finished_at, repr(self.result))


@dataclass(frozen=True)
class Execution:
    """One start of a task's function."""

    task_id: str
    number: int
    token: int
    pids: Sequence[int]
    """The process that ran it and its ancestors: the worker is among them."""
    started: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class Kill:
    """A process that was killed."""

    name: str
    pid: int
    begins: float
    """Seconds since the epoch, just before the signal."""
    ends: float
    """Likewise, just after it: from here on the process ran nothing."""


@dataclass(frozen=True)
class Outage:
    """A time without a quorum, in which workers rightly give up what they hold."""

    begins: float
    ends: float


@dataclass
class History:
    """Everything that was seen in a run."""

    accepted: list[Accepted] = field(default_factory=list)
    endings: dict[str, list[Ending]] = field(default_factory=dict)
    """By task; the first as soon as it was seen to have ended, then one from every node at the end of the run."""
    executions: list[Execution] = field(default_factory=list)
    worker_kills: list[Kill] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    """State digest of each node at one applied index."""


@dataclass
class Check:
    """A claim, how many things it was tried on, and where it did not hold."""

    claim: str
    examined: int
    violations: list[str]


def right_result(number: int) -> int:
    """Return what the load's function returns for its argument."""
    return number * number + 7


def completed(history: History) -> Check:
    """Every acknowledged task has ended with the right result."""
    wrong = []
    for task in history.accepted:
        endings = history.endings.get(task.task_id)
        if not endings:
            wrong.append(f"{task.task_id} (number {task.number}): acknowledged, not ended")
            continue
        last = endings[-1]
        if (last.status, last.result) != ("COMPLETED", right_result(task.number)):
            wrong.append(f"{task.task_id} (number {task.number}): {last.status} with {last.result!r}")
    return Check(
        "every acknowledged task is COMPLETED with the right result",
        len(history.accepted),
        wrong,
    )


def one_record(history: History) -> Check:
    """Every task has one terminal record: the same on every node, the same as when it was first seen."""
    wrong = []
    for task_id, endings in history.endings.items():
        records = {ending.record() for ending in endings}
        if len(records) > 1:
            told = ", ".join(f"{ending.node}: {ending.record()}" for ending in endings)
            wrong.append(f"{task_id}: {told}")
    return Check("every task has one terminal record, never changed", len(history.endings), wrong)


def ended_by_last_execution(history: History) -> Check:
    """Every task ends under the grant of its last execution: it is not run again once it has ended."""
    tokens: dict[str, list[int]] = defaultdict(list)
    for run in history.executions:
        tokens[run.task_id].append(run.token)
    wrong = [
        f"{task_id}: ended under token {endings[-1].token}, executed under {sorted(tokens[task_id])}"
        for task_id, endings in history.endings.items()
        if endings and endings[-1].token != max(tokens[task_id], default=-1)
    ]
    return Check("every task ends with its last execution", len(history.endings), wrong)


def tokens_rise(history: History) -> Check:
    """No token was given twice, and the tokens of one task rise with its executions."""
    wrong = []
    seen: dict[int, Execution] = {}
    for run in history.executions:
        if run.token in seen:
            wrong.append(f"token {run.token}: executed by {seen[run.token].task_id} and by {run.task_id}")
        seen[run.token] = run
    for first, second in reruns(history.executions):
        if second.token < first.token:
            wrong.append(f"{first.task_id}: token {first.token}, later {second.token}")
    return Check("tokens are unique and rise", len(history.executions), wrong)


def reruns(executions: Iterable[Execution]) -> list[tuple[Execution, Execution]]:
    """Return every pair of neighbouring executions of one task, in the order of their start."""
    by_task: dict[str, list[Execution]] = defaultdict(list)
    for run in sorted(executions, key=lambda run: run.started):
        by_task[run.task_id].append(run)
    return [pair for runs in by_task.values() for pair in zip(runs, runs[1:])]


def explains(history: History, first: Execution, second: Execution) -> bool:
    """Whether the second execution had to be: the first one's worker was killed, or could not be heard."""
    killed = any(
        kill.pid in first.pids and kill.begins <= second.started and first.started <= kill.ends
        for kill in history.worker_kills
    )
    unheard = any(outage.begins <= second.started and first.started <= outage.ends for outage in history.outages)
    return killed or unheard


def no_needless_rerun(history: History) -> Check:
    """No task is executed again whose worker lived, whoever else was killed."""
    wrong = [
        f"{first.task_id}: token {first.token} and again {second.token} after "
        f"{second.started - first.started:.1f} s, though its worker (one of {list(first.pids)}) lived"
        for first, second in reruns(history.executions)
        if not explains(history, first, second)
    ]
    return Check("no task is run again whose worker lived", len(history.executions), wrong)


def same_state(history: History) -> Check:
    """All nodes hold the same state."""
    wrong = []
    if len(set(history.digests.values())) > 1:
        wrong = [f"{node}: {digest}" for node, digest in sorted(history.digests.items())]
    return Check("all nodes hold the same state", len(history.digests), wrong)


CHECKS: Sequence[Callable[[History], Check]] = (
    completed,
    one_record,
    ended_by_last_execution,
    tokens_rise,
    no_needless_rerun,
    same_state,
)


def check(history: History) -> list[Check]:
    """Run every check."""
    return [one(history) for one in CHECKS]


def holds(result: Check) -> bool:
    """Whether a check was tried on something and found nothing."""
    return result.examined > 0 and not result.violations
