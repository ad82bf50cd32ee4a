"""Nodes come and go: the command line, and a client and a worker that outlive every node that they knew."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from conftest import ROOT, wait_until

import raftwork

pytestmark = pytest.mark.cluster


class Node:
    """A node with a file of its own, which names nobody else."""

    def __init__(self, folder: Path, id: int, *join: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.id, self.url = id, f"http://127.0.0.1:{port}"
        config = folder / f"n{id}.toml"
        node = f'[[node]]\nid = {id}\naddr = "127.0.0.1:{port}"\ndata = "n{id}"\n'
        config.write_text(f'[cluster]\nname = "members"\n{node}')
        daemon = os.environ.get("RAFTWORKD", str(ROOT / "target" / "debug" / "raftworkd"))
        command = [daemon, "serve", "--config", str(config), "--node", str(id)]
        for url in join:
            command += ["--join", url]
        with open(folder / f"n{id}.log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def answers(self) -> bool:
        """Whether it says who it is."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/v1/cluster", timeout=2) as answer:
            return bool(json.loads(answer.read())["node"] == self.id)
        return False

    def serves(self) -> bool:
        """Whether it can serve."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
        return False


@pytest.fixture
def processes() -> Iterator[List["subprocess.Popen[bytes]"]]:
    """Processes that are gone after the test, whatever happens."""
    started: List["subprocess.Popen[bytes]"] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def cli(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line."""
    command = [sys.executable, "-m", "raftwork", *arguments, "--url", url]
    return subprocess.run(command, text=True, capture_output=True, timeout=120)


def said(url: str, *arguments: str) -> Dict[str, Any]:
    """Run the command line, and return its JSON."""
    done = cli(url, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    answer: Dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_client_and_a_worker_outlive_every_node_that_they_knew(
    tmp_path: Path, processes: List["subprocess.Popen[bytes]"]
) -> None:
    first = Node(tmp_path, 1)
    processes.append(first.process)
    wait_until(first.serves)
    worker = [sys.executable, "-m", "raftwork", "worker", "--url", first.url, "--slots", "1"]
    with open(tmp_path / "worker.log", "wb") as log:
        processes.append(subprocess.Popen(worker, stdout=log, stderr=log, cwd=tmp_path))
    with raftwork.Client(first.url, patience="30s") as client:

        def double(x: int) -> int:
            return 2 * x

        function = client.function(double)
        assert function.submit(1).result(timeout=60) == 2
        # One after the other takes the place of the only one.
        before = first
        for id in (2, 3):
            node = Node(tmp_path, id, before.url)
            processes.append(node.process)
            wait_until(node.answers)
            assert said(before.url, "cluster", "replace", str(before.id), node.url) == {"node": id, "state": "member"}
            assert before.process.wait(timeout=60) == 5, (tmp_path / f"n{before.id}.log").read_text()
            assert function.submit(id).result(timeout=60) == 2 * id
            # As after a lost answer.
            assert said(node.url, "cluster", "replace", str(before.id), node.url)["state"] == "member"
            before = node
        assert client.rest("GET", "/v1/cluster")["nodes"][0]["url"] == before.url


def test_the_command_line_says_what_it_did_and_why_it_did_not(
    tmp_path: Path, processes: List["subprocess.Popen[bytes]"]
) -> None:
    first = Node(tmp_path, 1)
    processes.append(first.process)
    wait_until(first.serves)
    second = Node(tmp_path, 2, first.url)
    processes.append(second.process)
    wait_until(second.answers)
    assert cli(second.url, "cluster", "status").stdout.endswith("was not added to a cluster yet\n")
    assert cli(first.url, "cluster", "add", second.url).stdout == "node 2 votes\n"
    # A leader that is asked for already leads; a repetition changes nothing.
    assert said(first.url, "cluster", "transfer", "--to", "2")["to"] == 2
    assert cli(first.url, "cluster", "transfer", "--to", "2").stdout == "node 2 leads already\n"
    assert cli(first.url, "cluster", "remove", "2").stdout == "node 2 is no member any more\n"
    assert cli(first.url, "cluster", "remove", "2").stdout == "node 2 is not a member\n"
    refused = cli(first.url, "cluster", "remove", "1")
    assert refused.returncode == 1 and "node 1 is the only one that votes" in refused.stderr
    nobody = cli(first.url, "cluster", "add", "http://127.0.0.1:9")
    assert nobody.returncode == 1 and "no node answers at http://127.0.0.1:9" in nobody.stderr
