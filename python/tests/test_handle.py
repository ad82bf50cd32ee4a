"""What a handle tells, and the forms that other systems have for it."""

import datetime
import io
import json
import sys
import threading
import uuid
from typing import Any, Dict, List, Optional, Tuple

import pytest
from fake_core import FakeCore

import raftwork
from raftwork import Client, _follow, _progress
from raftwork._progress import Bar, line


@pytest.fixture
def answers(core: FakeCore, monkeypatch: pytest.MonkeyPatch) -> Dict[str, Any]:
    """What the REST paths of the fake answer, by their ends."""
    known: Dict[str, Any] = {}

    def rest(method: str, path: str, body: Optional[bytes] = None) -> Tuple[int, bytes]:
        for end, answer in known.items():
            if path.endswith(end):
                return 200, json.dumps(answer() if callable(answer) else answer).encode()
        return 404, b'{"code": "not_found", "detail": "there is nothing here"}'

    monkeypatch.setattr(core, "rest", rest)
    return known


def test_logs_are_followed_until_the_task_has_ended(client: Client, core: FakeCore, answers: Dict[str, Any]) -> None:
    core.hold = True
    handle = client.submit(abs, -1)
    printed: List[Dict[str, Any]] = []
    answers["/logs"] = lambda: {"attempts": printed}
    printed.append({"token": 1, "stdout": "first\n", "stderr": ""})
    pieces = handle.logs(follow=True)
    assert next(pieces) == "first\n"
    printed[0]["stdout"] = "first\nmore\n"
    assert next(pieces) == "more\n"
    printed.append({"token": 2, "stdout": "again\n", "stderr": "oops\n"})
    core.run([handle._bytes])
    assert list(pieces) == ["again\noops\n"]
    assert handle.logs() == "first\nmore\nagain\noops\n"


@pytest.mark.parametrize(
    ("explanation", "sentence"),
    [
        ({"detail": "it is about to be granted"}, "it is about to be granted"),
        (
            {"detail": "no worker offers gpu", "hint": "start one that does"},
            "no worker offers gpu; start one that does",
        ),
    ],
)
def test_a_handle_says_in_a_sentence_why(
    client: Client, answers: Dict[str, Any], explanation: Dict[str, Any], sentence: str
) -> None:
    answers["/explain"] = explanation
    handle = client.submit(abs, -1)
    assert handle.why() == sentence and handle.explain() == explanation


def test_who_waits_for_long_is_told_the_reason(
    client: Client,
    core: FakeCore,
    answers: Dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    core.hold = True
    handle = client.submit(abs, -1)

    def info() -> Dict[str, Any]:
        core.run([handle._bytes])
        return {"status": "queued", "waiting_for": "no worker with Python 3.12 (workers: 3.11 x4)"}

    answers[handle.id] = info
    monkeypatch.setattr(_follow, "PATIENCE", 0.01)
    assert handle.result(30) == 1
    assert (
        capsys.readouterr().err == f"raftwork: task {handle.id} waits: no worker with Python 3.12 (workers: 3.11 x4)\n"
    )


def test_who_waits_for_a_map_is_told_once(
    client: Client,
    core: FakeCore,
    answers: Dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    core.hold = True
    results = client._function_of(abs).map([-1, -2])
    first, second = results._order
    answers[str(uuid.UUID(bytes=first))] = lambda: core.run([first]) or {"status": "queued", "waiting_for": "its delay"}
    monkeypatch.setattr(_follow, "PATIENCE", 0.01)
    assert next(results) == 1
    threading.Timer(0.05, core.run, ([second],)).start()
    assert next(results) == 2
    assert capsys.readouterr().err.count("waits: its delay") == 1


def test_a_notebook_shows_the_status_and_escapes_what_users_wrote(client: Client, answers: Dict[str, Any]) -> None:
    handle = client.submit(abs, -1)
    answers["/explain"] = {"status": "failed", "detail": "it ended: failed: <b>&</b>"}
    shown = handle._repr_html_()
    assert handle.id in shown and "failed" in shown and "&lt;b&gt;&amp;" in shown and "<b>&" not in shown
    answers.clear()
    assert "unknown" in handle._repr_html_()


def test_no_worker_of_this_python_is_warned_of_once(client: Client, answers: Dict[str, Any]) -> None:
    answers["/workers"] = {"workers": [{"python": "2.7"}, {"python": "2.7"}]}
    with pytest.warns(raftwork.NoWorkerWarning, match=r"\(workers: 2\.7 x2\)") as told:
        client.submit(abs, -1)
        client.submit(len, "")
    assert len(told) == 1 and told[0].filename == __file__
    assert f"no worker has Python {sys.version_info[0]}.{sys.version_info[1]} " in str(told[0].message)


def test_a_worker_of_this_python_among_others_is_enough(client: Client, answers: Dict[str, Any]) -> None:
    mine = "{}.{}".format(*sys.version_info[:2])
    answers["/workers"] = {"workers": [{"python": "2.7"}, {"python": mine}]}
    assert client.submit(abs, -1).result(5) == 1


# --- other systems' forms


def test_celery_s_names(client: Client, core: FakeCore) -> None:
    @client.function
    def add(a: int, b: int) -> int:
        return a + b

    result = add.delay(1, b=2)
    assert result.get(timeout=5) == 3 and result.ready()
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=60)
    later = add.apply_async((1, 2), {}, countdown=5, priority=9, retries=2, time_limit=30)
    at = add.apply_async(args=[1], kwargs={"b": 2}, eta=soon)
    assert later.get(timeout=5) == at.get(timeout=5) == 3
    options = [options for _, options in core.submits]
    taken = {name: value for name, value in options[1].items() if value is not None}
    assert taken == {"priority": 9, "delay_ms": 5000, "retry": (3, 1000, 60_000), "run_max_ms": 30_000}
    assert options[2]["run_at_ms"] == soon.timestamp() * 1000 // 1
    add.apply_async((1, 2), expires=60)
    assert core.submits[3][1]["start_by_ms"] == 60_000
    with pytest.raises(TypeError, match="apply_async takes no 'queue' here"):
        add.apply_async((1, 2), queue="other")


def test_globus_compute_s_names(client: Client, core: FakeCore) -> None:
    core.hold = True
    function = client.register_function(abs)
    task = client.run(-3, function_id=function, endpoint_id="ignored")
    with pytest.raises(raftwork.TaskPending, match="is running"):
        client.get_result(task)
    core.run(list(core.tasks))
    assert client.get_result(task) == 3


# --- the bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_shows_what_is_done_and_what_is_left() -> None:
    assert line(50, 0, 200, 10.0) == "[#######.......................] 50/200  5.0/s  0:30 left"
    assert line(200, 3, 200, 3700.0) == f"[{'#' * 30}] 200/200  3 failed  0.1/s  1:01:40"
    assert line(70_000, 0, None, 7.0) == "70000  10,000/s  0:07"


def test_a_bar_is_drawn_on_a_terminal_only() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        bar = Bar(2, stream)
        bar.show(1)
        bar.close(2)
    assert terminal.getvalue().startswith("\r[") and terminal.getvalue().endswith("\n")
    assert file.getvalue() == ""


def test_map_draws_a_bar_if_asked_to(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    function = client._function_of(abs)
    assert sum(function.map([-1, -2])) == 3 and terminal.getvalue() == ""
    monkeypatch.setattr(_progress, "DRAW_EVERY", 0.0)
    assert sum(function.options(progress=True).map([-1, -2])) == 3
    assert "1/2" in terminal.getvalue() and "2/2" in terminal.getvalue() and terminal.getvalue().endswith("\n")
    assert sum(function.options(progress=True, ordered=False).map(iter([-1, -2]))) == 3
