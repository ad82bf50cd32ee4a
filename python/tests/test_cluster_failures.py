"""A task of each kind of failure, as the SDK, REST and the command line show it: the cause is named, and the fix.

The texts are in ``failures/``: read what changed before it is committed. UPDATE_FAILURES=1 writes them anew.
"""

import json
import os
import re
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

import pytest
from conftest import Cluster, wait_until

import raftwork
from raftwork import Client

pytestmark = pytest.mark.cluster

TEXTS = Path(__file__).parent / "failures"

JOB = """
import ctypes, os, time

class QuotaError(Exception):
    def __init__(self, user, limit):
        super().__init__(f"{user} is over {limit}")
        self.limit = limit

def exception():
    raise QuotaError("ada", 3)

def exit():
    os._exit(3)

def segfault():
    ctypes.string_at(0)

def memory():
    data = bytearray(2000 << 20)
    for place in range(0, len(data), 4096):
        data[place] = 1
    time.sleep(60)

def timeout():
    time.sleep(60)

def unpicklable_result():
    return (n for n in range(3))

def missing_module():
    import a_module_that_is_nowhere
"""


@pytest.fixture(scope="module")
def job(cluster: Cluster) -> str:
    (cluster.folder / "failing.py").write_text(JOB)
    return "failing.py"


def plain(text: str) -> str:
    """Without what differs from run to run."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "TASK", text)
    text = re.sub(r"\d+ MiB", "N MiB", text)
    text = re.sub(r"\d+ ms", "N ms", text)
    text = re.sub(r"(Python|worker's) \d\.\d+", r"\1 3.X", text)
    text = re.sub(r"dill \d[\d.]+", "dill X", text)
    return re.sub(r"connected: [\d., x]+\)", "connected: 3.X xN)", text)


def agree(kind: str, sdk: str, rest: Dict[str, Any], command_line: str) -> None:
    """Compare with the text that was read and approved."""
    parts = [("sdk", sdk), ("rest", json.dumps(rest, indent=2)), ("command line", command_line)]
    text = plain("".join(f"--- {name}\n{said.rstrip()}\n" for name, said in parts))
    file = TEXTS / f"{kind}.txt"
    if os.environ.get("UPDATE_FAILURES"):
        TEXTS.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def described(error: BaseException) -> str:
    text = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
    return "\n".join([text, *getattr(error, "__notes__", [])])


OPTIONS = {"timeout": ["--timeout", "300ms"]}


@pytest.mark.parametrize(
    ("kind", "expected", "facts"),
    [
        ("exception", "QuotaError", lambda error: error.limit == 3 and "in exception" in str(error.__cause__)),
        ("exit", "TaskCrashed", lambda error: (error.exit_code, error.signal) == (3, None)),
        ("segfault", "TaskCrashed", lambda error: error.signal == 11 and "string_at" in str(error.__cause__)),
        ("memory", "TaskOutOfMemory", lambda error: error.limit == 600 << 20 and error.peak > error.limit),
        ("timeout", "TaskTimeout", lambda error: isinstance(error, TimeoutError)),
        ("unpicklable_result", "TaskFailed", lambda error: "TypeError" in error.remote_traceback),
        ("missing_module", "ModuleNotFoundError", lambda error: error.name == "a_module_that_is_nowhere"),
    ],
)
def test_what_fails_says_why_and_what_to_do(
    cluster: Cluster, connected: Client, job: str, kind: str, expected: str, facts: Callable[[Any], bool]
) -> None:
    done = cluster.process("run", f"{job}:{kind}", *OPTIONS.get(kind, []))
    assert done.returncode == 1 and done.stdout == ""
    # On a busy machine, whoever waits for long is told before what the task waits for.
    first, *traceback = [line for line in done.stderr.splitlines() if " waits: " not in line]
    id = re.findall(r"[0-9a-f-]{36}", first)[0]
    error = connected.get(id).exception(60)
    assert type(error).__name__ == expected and facts(error), repr(error)
    assert error.__cause__ is None or traceback, "the command line shows the remote traceback as well"
    rest = connected.get(id).info()["error"]
    assert rest.pop("traceback") or kind in ("exit", "memory"), "there was nobody left to make one"
    notes = traceback[: len(getattr(error, "__notes__", []))]
    agree(kind, described(error), rest, "\n".join([first, *notes]))


def test_an_argument_that_cannot_be_pickled(cluster: Cluster, connected: Client) -> None:
    (cluster.folder / "lambdas.py").write_text(
        "import sys, raftwork\n"
        "client = raftwork.Client()\n"
        "try:\n"
        "    client.submit(print, {'rows': [n for n in range(3)], 'source': open(__file__)}, (n for n in ()))\n"
        "except raftwork.SerializationError as error:\n"
        "    print(error)\n"
    )
    said = cluster.python("-W", "ignore", "lambdas.py").stdout
    with pytest.raises(raftwork.Rejected) as refused:
        body = {"function_id": connected.register_function(print), "payload": "bm8gcGlja2xl"}
        connected.rest("POST", "/v1/tasks", body)
    (cluster.folder / "captures.py").write_text("stream = (n for n in ())\ndef work():\n    return next(stream)\n")
    done = cluster.process("run", "captures.py:work")
    assert done.returncode == 1
    agree("unpicklable_argument", said, {"detail": str(refused.value)}, done.stderr)


def test_a_task_that_was_to_run_after_one_that_failed(cluster: Cluster, connected: Client, job: str) -> None:
    first = cluster.run("run", f"{job}:exception", "--detach").split()[0]
    done = cluster.process("run", f"{job}:timeout", "--after", first)
    assert done.returncode == 1 and done.stdout == ""
    id = re.findall(r"[0-9a-f-]{36}", done.stderr)[0]
    error = connected.get(id).exception(60)
    assert isinstance(error, raftwork.DependencyFailed) and error.dependency == first
    agree("dependency", described(error), connected.get(id).info()["error"], done.stderr)


def test_a_python_that_no_worker_has(cluster: Cluster, connected: Client) -> None:
    core = connected._core
    function = core.register("old", "pickle", b"\x80\x02N.", python=(2, 7))
    handle = connected.get(connected.run(function_id=str(__import__("uuid").UUID(bytes=function))))
    try:
        wait_until(lambda: handle.info().get("waiting_for") is not None)
        info = handle.info()
        rest = {"waiting_for": info["waiting_for"], **{name: handle.explain()[name] for name in ("reason", "hint")}}
        agree("wrong_python", handle.why(), rest, cluster.run("tasks", "explain", handle.id))
    finally:
        handle.cancel()


def test_a_lost_worker(cluster: Cluster, connected: Client, tmp_path: Path) -> None:
    marks = tmp_path / "marks"

    @connected.function
    def work(marks: str) -> str:
        with open(marks, "a") as file:
            file.write("x")
        first = os.path.getsize(marks) == 1
        time.sleep(600 if first else 0)
        return "done by another"

    handle = work.submit(str(marks))
    wait_until(lambda: marks.exists() and handle.status() == "running")
    holder = handle.info()["worker_id"]
    names = {worker["worker_id"]: worker["name"] for worker in connected.rest("GET", "/v1/workers")["workers"]}
    cluster.run("dev", "kill", names[holder])
    try:
        assert handle.result(60) == "done by another"
        counters = handle.info()["counters"]
        shown = [line for line in cluster.run("tasks", "show", handle.id).splitlines() if line.startswith("tries")]
        agree("lost_worker", str(handle.result()), counters, "\n".join(shown))
    finally:
        cluster.mend()


@pytest.fixture(autouse=True)
def mended(cluster: Cluster) -> Iterator[None]:
    """Each test finds all workers connected."""
    yield
    wait_until(lambda: len(workers(cluster)) == 2)


def workers(cluster: Cluster) -> Tuple[str, ...]:
    with Client(cluster.urls) as client:
        return tuple(worker["name"] for worker in client.rest("GET", "/v1/workers")["workers"])
