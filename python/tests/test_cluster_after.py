"""Tasks that run after others on a real cluster, whose leaders are killed meanwhile."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any, List

import pytest
from conftest import Cluster, wait_until

import raftwork
from raftwork import AsyncClient, Client

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::raftwork.errors.LargePayloadWarning"),
]

#: Tasks in the chain, and beside each other under one that takes all of their results.
LENGTH, WIDTH = 60, 40
#: Tasks of the chain that do not end before the leader has been killed.
HELD = (LENGTH // 4, LENGTH // 2)


def test_a_chain_and_a_fan_in_outlive_their_leaders(cluster: Cluster, connected: Client, tmp_path: Path) -> None:
    cluster.mend()
    marks = tmp_path / "marks"
    marks.touch()

    def step(marks: str, before: List[int], held: bool) -> List[int]:
        name = len(before)
        with open(marks, "a") as file:
            file.write(f"{name}\n")
        time.sleep(0.05)
        while held and not os.path.exists(f"{marks}-{name}"):
            time.sleep(0.02)
        return [*before, name]

    function = connected.function(step)
    chain = [function.submit(str(marks), [], False)]
    for n in range(1, LENGTH):
        chain.append(function.submit(str(marks), chain[-1], n in HELD))  # type: ignore[arg-type]
    wide = [connected.submit(lambda n: time.sleep(0.1) or n, n) for n in range(WIDTH)]
    total: Any = connected.submit(sum, wide)
    never = connected.submit(abs, -1, after=connected.submit(time.sleep, "no number"))
    for held in HELD:
        wait_until(lambda: f"{held}" in marks.read_text().splitlines(), 120)  # noqa: B023
        cluster.run("dev", "kill", "leader")
        assert chain[-1].status() in ("waiting", "queued"), "the chain was at its end before the leaders were killed"
        marks.with_name(f"{marks.name}-{held}").touch()
        cluster.mend()
    assert chain[-1].result(180) == list(range(LENGTH))
    assert total.result(60) == sum(range(WIDTH))
    with pytest.raises(raftwork.DependencyFailed):
        never.result(60)
    # An attempt may be lost with a leader; none begins before the one that it runs after has ended.
    began = [int(line) for line in marks.read_text().splitlines()]
    assert sorted(set(began)) == list(range(LENGTH)) and began == sorted(began), began
    print(f"a chain of {LENGTH} and a fan-in of {WIDTH} over 2 leader kills: {len(began)} attempts in the chain")


def test_what_runs_after_a_failure(connected: Client) -> None:
    def fail() -> None:
        raise ValueError("the first")

    first = connected.submit(fail)
    second = connected.submit(abs, -1, after=[first])
    third = connected.submit(abs, second)
    with pytest.raises(raftwork.DependencyFailed, match="failed") as told:
        third.result(60)
    assert told.value.dependency == second.id
    error = second.exception(60)
    assert isinstance(error, raftwork.DependencyFailed) and error.dependency == first.id
    assert isinstance(connected.get(error.dependency).exception(60), ValueError)
    assert connected.submit(abs, -1, after=[first, second], on_failure="run").result(60) == 1
    # A reference has nothing to stand for.
    taken = connected._function_of(abs).options(on_failure="run").submit(first)
    with pytest.raises(raftwork.TaskLoadError, match=f"task {first.id}, whose result is an argument, failed"):
        taken.result(60)


def test_results_of_any_size_are_put_in_place(connected: Client) -> None:
    def block(size: int) -> bytes:
        return b"x" * size

    # Of those in one message, some too many; and one in parts.
    sizes = [1, 3 << 20, 3 << 20, 9 << 20]
    handles: List[Any] = [connected.submit(block, size) for size in sizes]
    measured = connected.submit(lambda blocks: [len(one) for one in blocks], handles)
    assert measured.result(120) == sizes


def test_more_than_a_call_may_have_is_refused(connected: Client) -> None:
    def block(size: int) -> bytes:
        return b"x" * size

    handles: List[Any] = [connected.submit(block, 90 << 20) for _ in range(3)]
    with pytest.raises(raftwork.TaskLoadError, match=r"283115\d+ bytes, over the limit of 268435456 \(256 MiB\)"):
        connected.submit(len, handles).result(300)


def test_asyncio_s_client_chains_too(cluster: Cluster) -> None:
    async def scene() -> int:
        async with AsyncClient(cluster.urls) as client:
            handle = await client.submit(abs, -1)
            for _ in range(5):
                handle = await client.submit(lambda n: n + 1, handle)
            return await (await client.submit(abs, handle, after=[handle]))

    assert asyncio.run(scene()) == 6


def test_functions_that_are_source_text_are_given_results(connected: Client) -> None:
    source = "def add(a, b):\n    return a + b\n"
    function = connected.rest("POST", "/v1/functions", {"name": "add", "format": "source", "code": source})
    first = connected.submit(abs, -3)
    body = {
        "function_id": function["function_id"],
        "args": [{"$result_of": first.id}],
        "kwargs": {"b": 4},
        "results_of": [first.id],
    }
    task = connected.rest("POST", "/v1/tasks", body)["task_id"]
    assert connected.get(task).result(60) == 7
    assert connected.get(task).info()["results_of"] == [first.id]
    # And the other way round.
    assert connected.submit(abs, connected.get(task)).result(60) == 7


def test_the_command_line_waits_for_tasks(cluster: Cluster, connected: Client) -> None:
    (cluster.folder / "steps.py").write_text("import time\ndef nap(n):\n    time.sleep(n)\n    return n\n")
    first = cluster.run("run", "steps.py:nap", "0.5", "--detach").split()[0]
    second = cluster.run("run", "steps.py:nap", "0", "--after", first, "--detach").split()[0]
    said = json.loads(cluster.run("tasks", "explain", second, "--json"))
    assert said["reason"] in ("dependency", "ended", "running"), said
    assert f"after:        {first}" in cluster.run("tasks", "show", second).splitlines()
    assert connected.get(second).result(60) == 0
    broken = cluster.run("run", "steps.py:nap", '"x"', "--detach").split()[0]
    assert cluster.process("run", "steps.py:nap", "0", "--after", broken).returncode == 1
    assert cluster.run("run", "steps.py:nap", "7", "--after", broken, "--on-failure", "run").strip() == "7"
    wrong = cluster.process("run", "steps.py:nap", "0", "--on-failure", "run")
    assert wrong.returncode == 2 and "name those" in wrong.stderr, wrong
    wrong = cluster.process("run", "steps.py:nap", "0", "--after", "the first")
    assert wrong.returncode == 2 and "is not the id of a task" in wrong.stderr, wrong
    nobody = "0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e"
    wrong = cluster.process("run", "steps.py:nap", "0", "--after", nobody)
    assert wrong.returncode == 4 and f"no task {nobody} to run after" in wrong.stderr, wrong
