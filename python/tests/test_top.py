"""What ``raftwork top`` shows."""

import json
from typing import Any, Dict, Optional, Tuple

import pytest
from fake_core import FakeCore

from raftwork import _cli
from raftwork._cli.top import Look, parse_metrics, rates, screen

CLUSTER: Dict[str, Any] = {
    "cluster": "prod",
    "leader": 2,
    "term": 7,
    "applied": 1234,
    "nodes": [
        {"id": 1, "role": "follower", "url": "http://a:7001", "lag": 3},
        {"id": 2, "role": "leader", "url": "http://b:7001"},
    ],
    "tasks": {"queued": 40, "running": 5},
}
WORKER = {"name": "w1", "mode": "push", "python": "3.11", "slots": 4, "held": 5, "silent_ms": 120, "draining": True}
METRICS = """\
# HELP raftwork_proposed_commands Commands in them.
raftwork_proposed_commands_total {}
raftwork_log_fsyncs_total 10
raftwork_tasks{{status="queued"}} 40
# EOF
"""


def test_the_screen_shows_leader_queues_workers_and_rates() -> None:
    before = Look(10.0, CLUSTER, [WORKER], {"raftwork_proposed_commands_total": 1000})
    now = Look(12.0, CLUSTER, [WORKER], {"raftwork_proposed_commands_total": 5000})
    assert screen(now, before) == [
        "prod: node 2 leads, term 7, 1234 entries applied",
        "tasks    0 waiting, 40 queued, 5 running",
        "slots    [####################] 4 of 4 busy, 1 held ahead",
        "rates    2,000 commands/s, 0 log entries/s, 0 fsyncs/s",
        "",
        "NODE  ROLE      LAG  URL",
        "n1    follower  3    http://a:7001",
        "n2    leader    -    http://b:7001",
        "",
        "WORKER  MODE  PYTHON  BUSY                          SEEN",
        "w1      push  3.11    4/4   [####################]  0.1s ago, draining",
    ]


def test_a_cluster_without_a_leader_or_workers_is_shown_too() -> None:
    lines = screen(Look(1.0, {**CLUSTER, "leader": None}, [], {}), None)
    assert lines[0].startswith("prod: no leader at the moment") and lines[-1].startswith("no workers; start one")
    assert "slots    [....................] 0 of 0 busy, 0 held ahead" in lines


def test_a_leader_that_was_started_anew_has_no_rates() -> None:
    assert parse_metrics(METRICS.format(7)) == {"raftwork_proposed_commands_total": 7, "raftwork_log_fsyncs_total": 10}
    fresh, old = (
        Look(2.0, CLUSTER, [], parse_metrics(METRICS.format(7))),
        Look(1.0, CLUSTER, [], parse_metrics(METRICS.format(9))),
    )
    assert rates(fresh, old) == [("log entries", 0.0), ("fsyncs", 0.0)]


@pytest.fixture
def cluster(core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake answers what top asks for."""

    def rest(method: str, path: str, body: Optional[bytes] = None) -> Tuple[int, bytes]:
        if path == "/metrics":
            return 200, METRICS.format(7).encode()
        return 200, json.dumps(CLUSTER if path.endswith("cluster") else {"workers": [WORKER]}).encode()

    monkeypatch.setattr(core, "rest", rest)


@pytest.mark.usefixtures("cluster")
def test_without_a_terminal_it_looks_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert _cli.main(["top"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("prod: node 2 leads") and "\x1b" not in said
    assert _cli.main(["top", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counters"]["raftwork_log_fsyncs_total"] == 10
