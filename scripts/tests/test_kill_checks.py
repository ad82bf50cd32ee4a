"""Each check of kill.sh finds what it is there to find."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kill_checks import (
    CHECKS,
    Accepted,
    Ending,
    Execution,
    History,
    Kill,
    Outage,
    check,
    holds,
    right_result,
)

AGENT, OTHER = 100, 200


def run(token: int, started: float, agent: int = AGENT) -> Execution:
    """Make an execution of task `a`."""
    return Execution("a", 3, token, (agent + 1, agent), started)


def ending(node: str = "n1", **changes: object) -> Ending:
    """Make a right ending of task `a` under token 1."""
    return replace(Ending(node, "COMPLETED", 1, "2026-01-01T00:00:00Z", right_result(3)), **changes)


def quiet(**changes: object) -> History:
    """Make a run of one task in which all went well, changed as told."""
    history = History(
        accepted=[Accepted("a", 3)],
        endings={"a": [ending("n1"), ending("n2")]},
        executions=[run(1, 10.0)],
        digests={"n1": "d", "n2": "d"},
    )
    return replace(history, **changes)


def broken(history: History) -> list[str]:
    """Names of the checks that do not hold."""
    return [one.__name__ for one, result in zip(CHECKS, check(history)) if not holds(result)]


def test_a_run_without_faults_holds() -> None:
    """All checks hold on a good history."""
    assert broken(quiet()) == []


def test_a_check_that_was_tried_on_nothing_does_not_hold() -> None:
    """An empty history proves nothing."""
    assert len(broken(History())) == len(CHECKS)


@pytest.mark.parametrize(
    "changes, name",
    [
        ({"endings": {"a": [ending(status="FAILED")]}}, "completed"),
        ({"endings": {"a": [ending(result=8)]}}, "completed"),
        ({"accepted": [Accepted("a", 3), Accepted("b", 4)]}, "completed"),
        ({"endings": {"a": [ending("n1", result="old"), ending("n2")]}}, "one_record"),
        (
            {"endings": {"a": [ending("n1", finished_at="earlier"), ending("n2")]}},
            "one_record",
        ),
        ({"endings": {"a": [ending(token=2)]}}, "ended_by_last_execution"),
        ({"digests": {"n1": "d", "n2": "e"}}, "same_state"),
    ],
)
def test_each_wrong_outcome_is_found(changes: dict[str, object], name: str) -> None:
    """One wrong thing breaks one check."""
    assert broken(quiet(**changes)) == [name]


def test_a_token_that_was_given_twice_is_found() -> None:
    """Two tasks ran under one token."""
    other = replace(run(1, 11.0), task_id="b")
    assert broken(quiet(executions=[run(1, 10.0), other])) == ["tokens_rise"]


def test_a_token_that_falls_is_found() -> None:
    """A later execution has a lower token."""
    history = quiet(
        endings={"a": [ending(token=2)]},
        executions=[run(2, 10.0), run(1, 12.0)],
        worker_kills=[Kill("w1", AGENT, 11.0, 11.5)],
    )
    assert broken(history) == ["tokens_rise"]


def test_an_execution_after_the_end_is_found() -> None:
    """Even if its first worker was killed: the result was recorded before."""
    history = quiet(
        executions=[run(1, 10.0), run(2, 12.0, OTHER)],
        worker_kills=[Kill("w1", AGENT, 11.0, 11.5)],
    )
    assert broken(history) == ["ended_by_last_execution"]


@pytest.mark.parametrize(
    "changes, needless",
    [
        ({}, True),
        ({"worker_kills": [Kill("w1", AGENT, 11.0, 11.5)]}, False),
        ({"worker_kills": [Kill("w2", OTHER, 11.0, 11.5)]}, True),
        ({"worker_kills": [Kill("w1", AGENT, 15.0, 15.5)]}, True),
        ({"worker_kills": [Kill("w1", AGENT, 5.0, 5.5)]}, True),
        ({"outages": [Outage(10.5, 11.5)]}, False),
        ({"outages": [Outage(20.0, 21.0)]}, True),
        ({"outages": [Outage(1.0, 2.0)]}, True),
    ],
)
def test_a_second_run_needs_a_reason(changes: dict[str, object], needless: bool) -> None:
    """Only the death or the silence of its own worker is one."""
    history = quiet(
        endings={"a": [ending(token=2)]},
        executions=[run(1, 10.0), run(2, 12.0, OTHER)],
        **changes,
    )
    assert broken(history) == (["no_needless_rerun"] if needless else [])
