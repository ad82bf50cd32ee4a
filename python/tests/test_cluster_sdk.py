"""The SDK on a real cluster of three nodes and two workers."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import as_completed, wait
from pathlib import Path

import pytest
from conftest import Cluster, wait_until

import raftwork
from raftwork import Client

pytestmark = pytest.mark.cluster


def test_hello(connected: Client) -> None:
    @connected.function
    def greet(name: str) -> str:
        print("greeting", name)
        return f"Hello, {name}!"

    handle = greet.submit("Ada")
    assert handle.result(60) == "Hello, Ada!"
    assert handle.status() == "completed" and handle.logs() == "greeting Ada\n"


def test_map_over_a_thousand(connected: Client) -> None:
    @connected.function
    def add(a: int, b: int) -> int:
        return a + b

    assert list(add.map(range(1000), 5)) == list(range(5, 1005))


def test_long_tasks_that_follow_a_flood_are_shared(connected: Client) -> None:
    @connected.function
    def nothing(_: int) -> None:
        return None

    @connected.function
    def worker_of(seconds: float) -> int:
        time.sleep(seconds)
        return os.getppid()

    # Both workers hold many tasks now; what they hold of the long ones must go to whoever has a free slot.
    assert len(list(nothing.map(range(3000)))) == 3000
    shares = Counter(worker_of.map([0.4] * 20))
    assert len(shares) == 2 and min(shares.values()) >= 6, shares


def test_exceptions_come_back(connected: Client) -> None:
    @connected.function
    def fail(how: str) -> None:
        if how == "own":
            raise KeyError("k", 7)
        if how == "exit":
            os._exit(3)
        raise SystemExit("leaving")

    with pytest.raises(KeyError) as caught:
        fail.submit("own").result(60)
    assert caught.value.args == ("k", 7) and "in fail" in str(caught.value.__cause__)
    with pytest.raises(raftwork.TaskCrashed, match="exited with code 3") as crashed:
        fail.submit("exit").result(60)
    assert crashed.value.exit_code == 3
    with pytest.raises(SystemExit, match="leaving"):
        fail.submit("system exit").result(60)


def test_a_task_over_its_time_is_stopped(connected: Client) -> None:
    @connected.function(timeout="300ms")
    def nap() -> None:
        time.sleep(60)

    with pytest.raises(raftwork.TaskTimeout):
        nap.submit().result(60)


def test_retries_are_made(connected: Client, tmp_path: Path) -> None:
    marks = str(tmp_path / "marks")

    @connected.function(retries=3, retry_delay="10ms")
    def third_time(marks: str) -> int:
        with open(marks, "a+") as file:
            file.write("x")
            file.seek(0)
            count = len(file.read())
        if count < 3:
            raise OSError("not yet")
        return count

    handle = third_time.submit(marks)
    assert handle.result(60) == 3 and handle.info()["counters"]["failures"] == 2


def test_the_executor(connected: Client) -> None:
    with connected.executor() as executor:
        futures = [executor.submit(lambda n: n * n, n) for n in range(100)]
        assert sorted(future.result() for future in as_completed(futures, 60)) == [n * n for n in range(100)]
        running = executor.submit(time.sleep, 60)
        wait_until(running.running)
        assert running.cancel() and wait([running], 5).done == {running}


def test_cancel(connected: Client) -> None:
    running, waiting = connected.submit(time.sleep, 60), connected._function_of(abs).options(delay="1h").submit(-1)
    wait_until(lambda: running.status() == "running")
    assert waiting.status() == "waiting"
    for handle in (running, waiting):
        assert handle.cancel()
        with pytest.raises(raftwork.TaskCancelledError):
            handle.result(60)
    done = connected.submit(abs, -1)
    assert done.result(60) == 1 and not done.cancel()


def test_a_task_is_found_again_from_another_client(cluster: Cluster, connected: Client) -> None:
    id = connected._function_of(abs).options(delay="500ms").submit(-7).id
    with Client(cluster.urls[-1]) as other:
        assert other.get(id).result(60) == 7
        with pytest.raises(raftwork.UnknownTask):
            other.get("0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e").result(60)


def test_a_task_knows_itself(connected: Client) -> None:
    def who() -> object:
        from raftwork import current_task

        return current_task()

    handle = connected.submit(who)
    task = handle.result(60)
    assert isinstance(task, raftwork.Task) and task.id == handle.id and task.attempt == 1 and task.token > 0


def test_a_map_loses_nothing_when_the_leader_is_killed(cluster: Cluster, connected: Client) -> None:
    @connected.function
    def slowly(n: int) -> int:
        time.sleep(0.02)
        return n

    results = slowly.options(in_flight=100).map(range(400))
    taken = [next(results) for _ in range(50)]
    killer = threading.Thread(target=cluster.run, args=("dev", "kill", "leader"))
    killer.start()
    try:
        assert taken + list(results) == list(range(400))
    finally:
        killer.join()
        cluster.mend()


def test_a_submit_during_an_election_is_a_pause(cluster: Cluster, connected: Client) -> None:
    assert connected.submit(abs, -1).result(60) == 1
    cluster.run("dev", "kill", "leader")
    try:
        start = time.monotonic()
        assert connected.submit(abs, -2).result(60) == 2
        assert time.monotonic() - start < 20
    finally:
        cluster.mend()


def test_a_task_goes_to_a_worker_that_offers_its_tags(cluster: Cluster, connected: Client) -> None:
    @connected.function(tags=["gpu"])
    def work() -> str:
        return "done"

    handle = work.submit()
    wait_until(lambda: handle.explain()["reason"] == "no_suitable_worker")
    assert "gpu" in handle.why()
    command = [sys.executable, "-m", "raftwork", "worker", "--tags", "gpu,zone=eu", "--slots", "1", "--name", "tagged"]
    worker = subprocess.Popen([*command, "--url", ",".join(cluster.urls)])
    try:
        assert handle.result(60) == "done"
        names = {one["worker_id"]: one["name"] for one in connected.rest("GET", "/v1/workers")["workers"]}
        assert names[handle.info()["worker_id"]] == "tagged"
    finally:
        worker.terminate()
        worker.wait(60)
