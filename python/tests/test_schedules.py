"""What the SDK says of a schedule, and what the command line makes of it; no cluster."""

import json
from typing import Any, Dict, List, Optional, Tuple

import pytest
from fake_core import FakeCore

from raftwork import Client, _cli


@pytest.fixture
def asked(core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> List[Tuple[str, str, Any]]:
    """Requests over HTTP; each is answered with a schedule."""
    requests: List[Tuple[str, str, Any]] = []
    info = {
        "name": "a/b",
        "function_id": "f",
        "cron": "@daily",
        "time_zone": "UTC",
        "catch_up": "latest",
        "overlap": "skip",
        "paused": False,
        "fired": 3,
        "skipped": 1,
        "live": 0,
        "last": "2026-11-27T00:00:00+00:00",
        "next": ["2026-11-28T00:00:00+00:00"],
        "made_at": "2026-11-20T00:00:00.000Z",
    }

    def rest(method: str, path: str, body: Optional[bytes] = None) -> Tuple[int, bytes]:
        requests.append((method, path, body and json.loads(body)))
        answer: Dict[str, Any] = {"schedules": [info]} if path.startswith("/v1/schedules?") else info
        return 200, json.dumps(answer).encode()

    monkeypatch.setattr(core, "rest", rest)
    return requests


def test_a_schedule_takes_the_options_of_its_function(client: Client, asked: List[Tuple[str, str, Any]]) -> None:
    @client.function(concurrency={"key": "k", "max": 2}, tags=["gpu"])
    def report(region: str) -> None: ...

    schedule = client.schedule(
        "a/b", report.options(priority=7, timeout="10m"), ["eu"], cron="@daily", time_zone="UTC", overlap="skip"
    )
    assert schedule.name == "a/b" and schedule.info()["fired"] == 3
    ((path, body),) = [(path, body) for method, path, body in asked if method == "PUT"]
    assert path == "/v1/schedules/a%2Fb"
    assert body.pop("payload") and body.pop("function_id")
    assert body == {
        "cron": "@daily",
        "time_zone": "UTC",
        "catch_up": "latest",
        "overlap": "skip",
        "priority": 7,
        "timeout": "600000ms",
        "tags": ["gpu"],
        "concurrency": {"key": "k", "max": 2},
    }


@pytest.mark.parametrize("when", [{}, {"cron": "@daily", "every": "1h"}])
def test_a_schedule_has_one_kind_of_time(client: Client, when: Dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="either cron= or every="):
        client.schedule("a", abs, [1], **when)


def test_a_schedule_says_itself_when_its_tasks_run(
    client: Client, asked: List[Tuple[str, str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="leave run_at out"):
        client.schedule("a", client.function(abs).options(run_at="2037-12-24T18:00:00Z"), [1], every="1h")
    with pytest.raises(SystemExit, match="2"):
        _cli.main(["schedules", "add", "a", "math:sqrt", "--every", "1h", "--run-at", "2037-12-24T18:00:00Z"])
    assert "--run-at" in capsys.readouterr().err
    assert not [method for method, *_ in asked if method == "PUT"]


def test_the_command_line_lists_schedules(
    asked: List[Tuple[str, str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _cli.main(["schedules"]) == 0
    assert "a/b" in (out := capsys.readouterr().out) and "@daily (UTC)" in out and "2026-11-28T00:00:00" in out
    assert _cli.main(["schedules", "pause", "a/b"]) == 0
    assert capsys.readouterr().out == "schedule 'a/b' is paused\n"
    assert asked[-1][:2] == ("POST", "/v1/schedules/a%2Fb/pause")
