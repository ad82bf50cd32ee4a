"""The command line as far as it needs no cluster: its grammar, its help, and how it fails."""

import argparse
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, Iterator, List

import pytest
from fake_core import FakeCore

from raftwork import _cli
from raftwork._cli import _common, _target, worker
from raftwork._cli._errors import CommandError
from raftwork._dev.layout import Cluster, Layout, Process, find_raftworkd

HELP = Path(__file__).parent / "help"


def _parsers(parser: argparse.ArgumentParser, name: str = "raftwork") -> Iterator[Any]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield from _parsers(child, f"{name} {word}")


NAMES = [name for name, _ in _parsers(_cli.parser())]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse prints options differently from 3.13 on")
@pytest.mark.parametrize("name", NAMES)
def test_help_is_as_it_was_read_and_approved(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """UPDATE_HELP=1 rewrites the files; read the difference before you commit it."""
    monkeypatch.setenv("COLUMNS", "100")
    text = dict(_parsers(_cli.parser()))[name].format_help().replace("optional arguments:", "options:")
    file = HELP / f"{name.replace(' ', '-')}.txt"
    if os.environ.get("UPDATE_HELP"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_help_teaches_with_examples_and_exit_codes(name: str) -> None:
    text = dict(_parsers(_cli.parser()))[name].format_help()
    assert "exit codes: 0 done" in text
    assert "examples:\n  raftwork" in text or "start with:\n  raftwork" in text


def _main(*arguments: str) -> int:
    try:
        return _cli.main(arguments)
    except SystemExit as exit:
        return int(exit.code or 0)


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["dance"],
        ["dev", "explode"],
        ["dev", "-n", "0"],
        ["dev", "-w", "many"],
        ["run"],
        ["run", "no-colon"],
        ["run", "job.py:f", "--kw", "novalue"],
        ["map", "job.py:f", "--range", "x"],
        ["tasks", "show"],
        ["tasks", "list", "--status", "lost"],
        ["tasks", "result", "x", "--wait", "soon"],
        ["workers", "drain"],
        ["functions", "register", "/no/such/file.py", "--name", "f"],
    ],
)
def test_wrong_usage_is_told_and_exits_with_2(line: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(*line) == 2
    assert capsys.readouterr().err


def test_a_cluster_that_is_not_there_exits_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        code = _main("workers", "--url", url)
    err = capsys.readouterr().err
    assert code == 3 and "Start one with: raftwork dev" in err and len(err.splitlines()) == 1


def test_a_task_that_is_not_there_exits_with_4(core: FakeCore, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main("tasks", "result", "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e") == 4
    assert capsys.readouterr().err.count("\n") == 1


JOB = """
from helper import FACTOR
def double(x, plus=0):
    return x * FACTOR + plus
def fail(x):
    raise ValueError(f"no {x}")
NUMBER = 1
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "helper.py").write_text("FACTOR = 2\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    return str(tmp_path / "job.py")


def test_run_prints_the_result(job: str, core: FakeCore, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main("run", f"{job}:double", "4", "--kw", "plus=1") == 0
    assert capsys.readouterr().out == "9\n"
    assert _main("run", f"{job}:double", '"ab"', "--kw", "plus=c", "--json") == 0
    assert json.loads(capsys.readouterr().out)["result"] == "ababc"


def test_run_exits_with_1_when_the_task_failed(job: str, core: FakeCore, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main("run", f"{job}:fail", "4") == 1
    said = capsys.readouterr()
    assert said.out == "" and "failed: ValueError: no 4" in said.err
    assert _main("run", f"{job}:fail", "4", "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "ValueError"


def test_run_detached_prints_the_id(job: str, core: FakeCore, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main("run", "-d", f"{job}:double", "4") == 0
    id = capsys.readouterr().out.strip()
    assert _main("tasks", "result", id) == 0
    assert capsys.readouterr().out == "8\n"


def test_map_reads_its_input_from_anywhere(
    job: str, core: FakeCore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main("map", f"{job}:double", "1", "2") == 0
    assert _main("map", f"{job}:double", "--range", "3", "--json") == 0
    (tmp_path / "lines").write_text("a\nb\n")
    assert _main("map", f"{job}:double", "--lines", str(tmp_path / "lines")) == 1
    (tmp_path / "values").write_text('1\n\n"x"\n')
    assert _main("map", f"{job}:double", "--jsonl", str(tmp_path / "values")) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[:5] == ["2", "4", '{"result": 0}', '{"result": 2}', '{"result": 4}']
    assert "2 of 2 tasks failed" in said.err and "1 of 2 tasks failed" in said.err


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("{}:nothing", "defines no 'nothing'; it defines: double, fail"),
        ("{}:NUMBER", "is no function but a int"),
        ("missing.py:f", "there is no file missing.py"),
        ("no_such_module_here:f", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_target_that_cannot_be_loaded_says_why(job: str, target: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        _target.load(target.format(job))


def test_a_module_is_found_in_the_current_folder(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(os.path.dirname(job))
    monkeypatch.delitem(sys.modules, "job", raising=False)
    assert _target.load("job:double")(3) == 6


def test_a_table_is_as_wide_as_it_must_be(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [("NAME", lambda row: row["name"]), ("X", lambda row: row["x"])]
    _common.print_table(columns, [{"name": "long name", "x": None}, {"name": "b", "x": 7}], "none")
    _common.print_table(columns, [], "none")
    assert capsys.readouterr().out == "NAME       X\nlong name  -\nb          7\nnone\n"


def test_pages_are_followed_to_the_limit() -> None:
    asked = []

    def fetch(query: str) -> Any:
        asked.append(query)
        return {"tasks": [{}] * 1000, "next": f"t{len(asked)}"}

    assert len(_common.pages(fetch, "tasks", 2500)) == 3000
    assert asked == ["limit=1000", "limit=1000&after=t1", "limit=500&after=t2"]


def test_a_worker_s_options_become_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAFTWORK_URL", "http://a:1,http://b:2")
    arguments = _cli.parser().parse_args(["worker", "--slots", "3", "--mode", "pull", "--path", "."])
    config = json.loads(worker.config(arguments))
    assert (config["urls"], config["slots"], config["mode"]) == (["http://a:1", "http://b:2"], 3, "pull")
    assert config["path_dirs"] == [os.getcwd()] and config["python"] == sys.executable
    assert (Path(config["package_dir"]) / "_runtime" / "zygote.py").is_file()


def test_a_worker_that_cannot_work_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main("worker", "--url", "banana") == 1
    assert "'banana' is not the URL of a node" in capsys.readouterr().err


def test_dev_remembers_its_cluster(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert layout.load() is None
    cluster = Cluster("push", {"n1": Process("n1", ["x"], 7, "http://127.0.0.1:7001")}, supervisor=3)
    layout.save(cluster)
    assert layout.load() == cluster


def test_dev_takes_other_ports_if_the_usual_ones_are_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(tmp_path)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 7001))
            taken.listen()
        except OSError:
            # Somebody else's cluster has it: as good.
            pass
        ports = layout.ports(3)
    assert 7001 not in ports and len(set(ports)) == 3
    assert "are taken" in capsys.readouterr().err
    layout.write_config(ports)
    assert layout.ports(3) == ports
    with pytest.raises(CommandError, match="is of a cluster of 3 nodes"):
        layout.ports(5)


def test_dev_finds_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAFTWORKD", "/somewhere/raftworkd")
    assert find_raftworkd() == "/somewhere/raftworkd"
    monkeypatch.delenv("RAFTWORKD")
    monkeypatch.setenv("PATH", str(tmp_path))
    built = tmp_path / "target" / "debug" / "raftworkd"
    built.parent.mkdir(parents=True)
    built.touch()
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert find_raftworkd() == str(built)
    optimised = tmp_path / "target" / "release" / "raftworkd"
    optimised.parent.mkdir()
    optimised.touch()
    os.utime(optimised, (1, 1))
    assert find_raftworkd() == str(built), "an older build of another profile"
    assert find_raftworkd(release=True) == str(optimised), "asked for"
    os.utime(built, (0, 0))
    assert find_raftworkd() == str(optimised)
    optimised.unlink()
    assert find_raftworkd(release=True) is None
    assert _main("dev", "--release", "--data", str(tmp_path / "none")) == 1
    assert "cargo build --release" in capsys.readouterr().err


def test_dev_that_finds_no_cluster_says_how_to_start_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main("dev", "status", "--data", str(tmp_path / "none")) == 1
    assert "start one with: raftwork dev" in capsys.readouterr().err


def test_dev_shows_the_log_of_a_node_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "raftworkd"
    broken.write_text("#!/bin/sh\necho the disk is on fire >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("RAFTWORKD", str(broken))
    assert _main("dev", "--data", str(tmp_path / "data"), "-n", "1", "-w", "0") == 1
    err = capsys.readouterr().err
    assert "n1 ended while the cluster was starting" in err and "| the disk is on fire" in err
