"""The command line and the examples, on a real cluster."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from conftest import ROOT, Cluster

pytestmark = pytest.mark.cluster

EXAMPLES = ROOT / "examples"


def example(cluster: Cluster, name: str, *arguments: str) -> str:
    done = cluster.python(str(EXAMPLES / name), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_run_and_look(cluster: Cluster) -> None:
    (cluster.folder / "job.py").write_text("def double(x):\n    print('doubling')\n    return 2 * x\n")
    assert cluster.run("run", "job.py:double", "21") == "42\n"
    # By reference: workers were started with this folder on their path.
    assert cluster.run("run", "job:double", "4") == "8\n"
    id = cluster.run("run", "-d", "job.py:double", "5").strip()
    assert cluster.run("tasks", "result", id, "--wait", "30s") == "10\n"
    assert cluster.run("tasks", "logs", id) == "doubling\n"
    assert "completed" in cluster.run("tasks", "show", id)
    listed = json.loads(cluster.run("tasks", "list", "--limit", "5", "--json"))
    assert id in [task["task_id"] for task in listed]
    names = [function["name"] for function in json.loads(cluster.run("functions", "--json"))]
    assert "double" in names


def test_failed_tasks_are_redriven(cluster: Cluster) -> None:
    (cluster.folder / "poison.py").write_text(
        "import os, pathlib\n"
        "def poison(folder):\n    pathlib.Path(folder, 'cured').exists() or os._exit(3)\n    return 'cured'\n"
        "def flop():\n    raise ValueError('no')\n"
    )
    parked = cluster.run("run", "-d", "poison.py:poison", str(cluster.folder)).strip()
    failed = cluster.run("run", "-d", "poison.py:flop").strip()
    for id in (parked, failed):
        assert cluster.process("tasks", "result", id, "--wait", "60s").returncode == 1
    assert parked in cluster.run("tasks", "--parked") and failed not in cluster.run("tasks", "--parked")
    (cluster.folder / "cured").touch()
    [said] = cluster.run("tasks", "redrive", "--function", "poison", "--json").splitlines()
    assert json.loads(said)["task_id"] == parked
    assert cluster.run("tasks", "result", json.loads(said)["redriven_as"], "--wait", "60s") == "cured\n"
    nothing = cluster.process("tasks", "redrive", "--all")
    assert nothing.returncode == 0 and "no parked task that was not redriven yet" in nothing.stderr
    assert "runs again as" in cluster.run("tasks", "redrive", failed)
    done = cluster.process("tasks", "redrive", json.loads(said)["redriven_as"])
    assert done.returncode == 1 and "only a task that failed or was parked" in done.stdout
    assert cluster.process("tasks", "redrive").returncode == 2
    assert cluster.process("tasks", "redrive", "--function", "nobody").returncode == 4


def test_map_of_lines(cluster: Cluster) -> None:
    (cluster.folder / "job.py").write_text("def double(x):\n    return 2 * x\n")
    said = cluster.run("map", "job.py:double", "--jsonl", "-", stdin="1\n2\n3\n")
    assert said == "2\n4\n6\n"


def test_a_source_function_is_registered_and_shown(cluster: Cluster) -> None:
    (cluster.folder / "add.py").write_text("def add(a, b):\n    return a + b\n")
    id = cluster.run("functions", "register", "add.py", "--name", "add", "--timeout", "30s").strip()
    shown = cluster.run("functions", "show", id, "--code")
    assert "source" in shown and "return a + b" in shown and "30s" in shown


def test_what_is_not_there(cluster: Cluster) -> None:
    missing = "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e"
    for line in (["tasks", "show", missing], ["functions", "show", missing], ["workers", "drain", "w77"]):
        done = cluster.process(*line)
        assert done.returncode == 4, (line, done.stdout, done.stderr)
        assert len(done.stderr.splitlines()) == 1


def test_workers_and_nodes(cluster: Cluster) -> None:
    workers = json.loads(cluster.run("workers", "--json"))
    assert {worker["name"] for worker in workers} == {"w1", "w2"}
    status = json.loads(cluster.run("cluster", "status", "--json"))
    assert len(status["nodes"]) == 3
    assert json.loads(cluster.run("cluster", "digest", "--json"))["diverged"] is False
    before = status["leader"]
    moved = json.loads(cluster.run("cluster", "transfer", "--json"))
    assert moved["from"] == before and moved["to"] not in (None, before)


def test_a_second_cluster_in_the_same_folder_is_refused(cluster: Cluster) -> None:
    done = cluster.process("dev", "-d")
    assert done.returncode == 1 and "raftwork dev stop" in done.stderr


def test_hello(cluster: Cluster) -> None:
    assert "Hello, Ada! This is process" in example(cluster, "hello.py", "Ada")


def test_wordcount_agrees_with_counting_here(cluster: Cluster, tmp_path: Path) -> None:
    shutil.copytree(os.path.dirname(json.__file__), tmp_path / "texts", ignore=shutil.ignore_patterns("*.pyc"))
    text = "".join(path.read_text() for path in (tmp_path / "texts").rglob("*.py")).lower()
    said = example(cluster, "wordcount.py", str(tmp_path / "texts"), "--top", "3")
    import re

    assert f"{len(re.findall('[a-z]+', text))} words" in said


def test_the_picture_is_the_same_when_the_leader_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    example(cluster, "mandelbrot.py", "--size", "640", "--tiles", "200", "--out", str(first))
    killer = threading.Timer(0.7, cluster.run, ("dev", "kill", "leader"))
    killer.start()
    try:
        example(cluster, "mandelbrot.py", "--size", "640", "--tiles", "200", "--out", str(second))
    finally:
        killer.join()
        cluster.mend()
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(b"\x89PNG")
