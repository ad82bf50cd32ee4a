"""Fixtures: a client whose cluster is a fake, and a real cluster of processes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from fake_core import FakeCore

import raftwork
import raftwork._client

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> FakeCore:
    """The fake that the next clients are connected to."""
    fake = FakeCore()
    monkeypatch.setattr(raftwork._client, "Core", lambda urls, patience: fake)
    return fake


@pytest.fixture
def client(core: FakeCore) -> Iterator[raftwork.Client]:
    """A client of the fake."""
    with raftwork.Client("http://fake:1") as client:
        yield client


def wait_until(condition: Callable[[], bool], within: float = 30.0) -> None:
    """Wait for a condition; fail if it does not come true in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.02)


class Cluster:
    """A development cluster in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        said = self.run(
            "dev", "-d", "-w", "2", "-n", "3", "--slots", "2", "--memory-limit", "600MiB", "--path", str(folder)
        )
        last = said.splitlines()[-1]
        assert last.startswith("ready "), said
        self.urls = last[len("ready ") :].split(",")

    def run(self, *arguments: str, check: bool = True, stdin: str = "") -> str:
        """Run the command line; return what it printed, standard error last."""
        done = self.process(*arguments, stdin=stdin)
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def process(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run the command line."""
        return self.python("-m", "raftwork", *arguments, stdin=stdin)

    def python(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run Python in the cluster's folder."""
        urls = ",".join(getattr(self, "urls", []))
        environment = {**os.environ, "RAFTWORK_URL": urls, "PYTHONWARNINGS": "error"}
        # What workers keep for their user stays with the test.
        environment["XDG_CACHE_HOME"] = str(self.folder / "cache")
        environment.setdefault("RAFTWORKD", str(ROOT / "target" / "debug" / "raftworkd"))
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            input=stdin,
            text=True,
            capture_output=True,
            timeout=300,
        )

    def processes(self) -> List[Dict[str, Any]]:
        """What ``dev status`` says of the processes."""
        found: List[Dict[str, Any]] = json.loads(self.run("dev", "status", "--json"))["processes"]
        return found

    def mend(self) -> None:
        """Start again whatever is down, and wait for a leader."""
        down = [process["name"] for process in self.processes() if process["role"] == "down"]
        if down:
            self.run("dev", "restart", *down)
        wait_until(lambda: any(process["role"] == "leader" for process in self.processes()))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes and two workers, shared by all tests that ask for them."""
    folder = tmp_path_factory.mktemp("cluster")
    running = Cluster(folder)
    try:
        yield running
    finally:
        running.run("dev", "stop")


@pytest.fixture
def connected(cluster: Cluster) -> Iterator[raftwork.Client]:
    """A client of the real cluster."""
    with raftwork.Client(cluster.urls) as client:
        yield client
