"""The parts of the suite that decide: statistics, tables, goals, and what belongs to whom in the process table."""

import os
import re
from types import SimpleNamespace

import pytest
from suite import measure, proc, stats
from suite.experiments import fail_over, push_pull
from suite.goals import GOALS, judge
from suite.report import Table, number, size
from suite.side_by_side import Comparison, chosen, figures_of


def test_percentiles_are_nearest_ranks():
    values = list(range(1, 1001))
    assert [stats.percentile(values, p) for p in (50, 99, 99.9, 100)] == [500, 990, 999, 1000]
    assert stats.percentile([7.0], 99.9) == 7.0
    with pytest.raises(ValueError, match="no values"):
        stats.percentile([], 50)


def test_medians_are_taken_of_the_rounds_that_have_a_figure():
    rounds = [{"rate": 3.0}, {"rate": 1.0, "cpu": 5.0}, {"rate": 2.0}]
    assert stats.medians(rounds) == {"rate": 2.0, "cpu": 5.0}
    assert stats.Spread.of([3.0, 1.0, 2.0]) == stats.Spread(2.0, 1.0, 3.0)


def test_a_goal_is_a_ratio_in_one_direction():
    assert [stats.Target(8).met(ratio) for ratio in (7.9, 8.0)] == [False, True]
    assert [stats.Target(0.8, at_least=False).met(ratio) for ratio in (0.8, 0.81)] == [True, False]
    assert stats.ratio(1.0, 0.0) == float("inf")


def test_goals_are_judged_by_what_was_measured():
    measured = {("raftwork", "end_to_end", ""): 5000.0, ("celery", "end_to_end", ""): 500.0}
    judged = [judge(goal, lambda *what: measured.get(what)) for goal in GOALS]
    assert [row for row in judged if row] == [
        ("tasks end to end: Celery + Redis", "5,000", "500", "10.0x", ">= 8x", "met")
    ]


def test_answers_become_figures():
    assert figures_of({"items": 10, "seconds": 2.0}) == {"rate": 5.0}
    assert figures_of({"milliseconds": [1.0, 3.0]})["p50_ms"] == 1.0
    assert figures_of({"rate": 9, "first_error": None, "errors": 0}) == {"rate": 9.0, "errors": 0.0}


def test_a_name_means_a_peer_and_its_variants():
    assert [peer.name for peer in chosen(["celery", "restate-3"])] == ["celery", "celery-always", "restate-3"]
    assert Comparison().value("celery", "latency", "") is None


def test_each_cluster_is_first_in_every_other_pair():
    asked = []

    def window(cluster):
        asked.append(cluster)
        return {"rate": float(len(asked))}

    rows = push_pull.in_turn({"push": "a", "pull": "b"}, window, 3)
    assert asked == ["a", "b", "b", "a", "a", "b"]
    assert [one["rate"] for one in rows["push"]] == [1.0, 4.0, 5.0]


def test_push_is_ahead_where_it_does_more_or_takes_less_time():
    rates = {"push": [{"rate": 30.0}, {"rate": 10.0}], "pull": [{"rate": 20.0}, {"rate": 10.0}]}
    times = {
        "push": [{"p50_ms": 1.0, "p99_ms": 9.0}, {"p50_ms": 2.0, "p99_ms": 9.0}],
        "pull": [{"p50_ms": 2.0, "p99_ms": 3.0}, {"p50_ms": 4.0, "p99_ms": 3.0}],
    }
    shown = push_pull.comparison({"map": rates, "idle": times, "half": times})
    assert [row[1:] for row in shown.rows[:3]] == [
        ["20.0", "15.0", "1.25", "1 of 2"],
        ["1.50", "3.00", "0.50", "2 of 2"],
        ["9.00", "3.00", "3.00", "0 of 2"],
    ]


def test_tables_line_up():
    table = Table("Speed", ("how", "tasks/s"), notes=["Of one machine."])
    table.add("map", number(12345.6))
    table.add("submit", number(9.876))
    assert str(table) == "\n".join(
        [
            "## Speed",
            "",
            "| how    | tasks/s |",
            "| ------ | ------- |",
            "| map    |  12,346 |",
            "| submit |    9.88 |",
            "",
            "Of one machine.",
            "",
        ]
    )


def test_numbers_are_for_people():
    assert [number(value) for value in (0, 0.0123, 0.5, 12.34, 1234.5)] == ["0.00", "0.012", "0.50", "12.3", "1,234"]
    assert [size(value) for value in (512, 2048, 3 << 20)] == ["512 B", "2.00 KiB", "3.00 MiB"]


def entry(pid, parent, own=1.0):
    """A process whose ended children have used half a second."""
    return proc.Entry(pid, parent, 0, own, 0.5, 0, False)


def test_a_meter_tells_components_and_others_apart(monkeypatch):
    me = os.getpid()
    tables = [
        {pid: entry(pid, parent) for pid, parent in ((me, 0), (2, me), (3, 2))},
        {pid: entry(pid, parent, 1.0 + pid % 10) for pid, parent in ((2, me), (3, 2))} | {me: entry(me, 0)},
    ]
    busy = [100.0, 108.0]
    monkeypatch.setattr(proc, "table", lambda: tables.pop(0))
    monkeypatch.setattr(proc, "machine_busy_seconds", lambda: busy.pop(0))
    clock = [10.0, 12.0]
    monkeypatch.setattr(measure, "time", SimpleNamespace(monotonic=lambda: clock.pop(0)))
    with measure.Meter({"worker": [2], "children": [3]}) as usage:
        pass
    # Eight seconds of work, of which two and three were ours.
    assert usage == measure.Usage(2.0, {"worker": 2.0, "children": 3.0}, 1.5)
    assert usage.per_item(10) == {"worker": 200_000.0, "children": 300_000.0}


def test_a_family_has_all_descendants():
    processes = {pid: entry(pid, parent) for pid, parent in ((1, 0), (2, 1), (3, 2), (4, 1))}
    assert proc.family([2], processes) == {2, 3}
    assert proc.cpu_seconds([2, 3], processes) == 3.0
    owners = dict(measure._owners({"worker": [1], "children": [2]}, processes))
    assert owners == {1: "worker", 2: "children", 3: "children", 4: "worker"}


def test_the_timeouts_beside_the_fail_over_are_those_that_operators_read_of():
    rows = ["| `[raft] heartbeat` | `150ms` | often |", "| `[raft] keep_log` | 20,000 |", "| `[limits] x` | `1s` |"]
    assert fail_over._timeouts("\n".join(rows)) == "[raft] heartbeat 150ms"
    shown = fail_over._timeouts(fail_over._SETTINGS.read_text())
    assert re.search(r"\[raft\] election_min, election_max \d+ms, \d+ms;", shown), shown
