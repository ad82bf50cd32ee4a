"""The SDK on a real cluster of three nodes and two workers."""

import datetime
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


def test_an_exception_that_is_final_is_not_tried_again(connected: Client, tmp_path: Path) -> None:
    class Broken(KeyError):
        pass

    @connected.function(retries=3, retry_delay="10ms", no_retry=[LookupError, "nobody.Knows"])
    def work(marks: str, final: bool) -> None:
        with open(marks, "a") as file:
            file.write("x")
        raise Broken("final") if final else OSError("not final")

    def tries(submittable: object, final: bool) -> int:
        marks = tmp_path / f"marks{time.monotonic_ns()}"
        handle = submittable.submit(str(marks), final)  # type: ignore[attr-defined]
        assert ("final" if final else "not final") in str(handle.exception(60))
        return marks.stat().st_size

    assert tries(work, final=True) == 1
    assert tries(work, final=False) == 4
    assert tries(work.options(no_retry=["OSError"]), final=False) == 1
    assert tries(work.options(no_retry=[]), final=True) == 4


def test_a_task_that_starts_too_late_never_runs(connected: Client) -> None:
    @connected.function(start_by="300ms", tags=["nobody"])
    def work() -> None:
        pass

    late = work.submit()
    assert "it fails unless it starts within" in late.why()
    with pytest.raises(raftwork.TaskExpired, match="was not started by the time that its start_by allows"):
        late.result(60)
    assert late.info()["token"] == 0 and late.info()["error"]["kind"] == "expired"


def test_a_total_bounds_all_tries(connected: Client) -> None:
    @connected.function(retries=100, retry_delay="60s", total_timeout="20s")
    def work(seconds: float) -> None:
        time.sleep(seconds)
        raise OSError("again")

    # Of each pause half is certain, so no other try could begin in time: the first one's error stands, and at once.
    assert str(work.submit(0).exception(15)) == "again"
    asleep = work.options(total_timeout="1s").submit(60)
    with pytest.raises(raftwork.TaskTimeout, match="total_timeout"):
        asleep.result(30)
    assert asleep.info()["counters"]["failures"] == 0


def test_a_dated_task_waits_for_its_date(connected: Client) -> None:
    at = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=5))) + datetime.timedelta(seconds=2)
    handle = connected.function(time.time).options(run_at=at).submit()
    assert handle.status() == "waiting" and handle.explain()["reason"] == "scheduled"
    ran = handle.result(60)
    assert at.timestamp() <= ran + 0.001 < at.timestamp() + 30
    past = connected.function(abs).options(run_at="2001-01-01T00:00:00Z").submit(-1)
    assert past.result(60) == 1
    with pytest.raises(raftwork.Rejected, match="not for both"):
        connected.function(abs).options(run_at=at, delay=1).submit(-1)


def test_a_task_says_how_far_it_is(cluster: Cluster, connected: Client, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"

    def work(go_on: str) -> int:
        from raftwork import current_task

        task = current_task()
        assert task is not None
        for n in range(1000):
            task.progress(n + 1, 1000, "counting")
        while not os.path.exists(go_on):
            time.sleep(0.02)
        return 1000

    handle = connected.submit(work, str(go_on))
    wait_until(lambda: handle.progress() == {"done": 1000, "total": 1000, "message": "counting"})
    assert "1000 of 1000 (100 %): counting" in cluster.run("tasks", "show", handle.id)
    assert "1000 of 1000" in cluster.run("tasks", "--status", "running")
    go_on.touch()
    assert handle.result(60) == 1000 and handle.progress() is None


def test_a_failed_task_is_redriven(connected: Client, tmp_path: Path) -> None:
    repaired = tmp_path / "repaired"

    @connected.function(retries=0)
    def work(repaired: str) -> str:
        if not os.path.exists(repaired):
            raise OSError("not yet")
        return "done"

    failed = work.submit(str(repaired))
    with pytest.raises(raftwork.NotRedrivable):
        connected.submit(int).redrive()
    assert isinstance(failed.exception(60), OSError)
    repaired.touch()
    again = failed.redrive()
    assert again.result(60) == "done" and again != failed and failed.redrive() == again
    assert failed.status() == "failed"
    # What a task that has ended was redriven as is told as far as the asked node knows.
    wait_until(lambda: failed.info().get("redriven_as") == again.id)


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


def test_a_map_that_was_sent_as_a_whole_survives_the_leader(cluster: Cluster, connected: Client) -> None:
    @connected.function
    def square(n: int) -> int:
        return n * n

    results = square.map(range(20_000))
    assert results.id is not None and results.submitted == 20_000
    killer = threading.Thread(target=cluster.run, args=("dev", "kill", "leader"))
    killer.start()
    try:
        assert list(results) == [n * n for n in range(20_000)]
    finally:
        killer.join()
        cluster.mend()
    info = connected.rest("GET", f"/v1/maps/{results.id}?wait=30s")
    assert (info["items"], info["completed"], info["queued"]) == (20_000, 20_000, 0)
    # Another client, as in another process; and one item by its own id.
    with Client(cluster.urls) as other:
        again = other.get_map(results.id).__next__()
        assert again == 0
    last = connected.rest("GET", f"/v1/maps/{results.id}/results?from=19999")["results"][0]
    assert connected.get(last["task_id"]).result(30) == 19_999**2


def test_a_map_that_was_sent_as_a_whole_is_cancelled(connected: Client) -> None:
    @connected.function
    def nap(n: int) -> int:
        time.sleep(0.05)
        return n

    results = nap.map(range(50_000))
    assert next(results) == 0
    results.cancel()
    info = connected.rest("GET", f"/v1/maps/{results.id}?wait=30s")
    assert info["cancelled"] > 40_000 and info["cancelled"] + info["completed"] == 50_000
    last = connected.rest("GET", f"/v1/maps/{results.id}/results?from=49999")["results"][0]
    with pytest.raises(raftwork.TaskCancelledError):
        connected.get(last["task_id"]).result(30)


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


def test_no_more_tasks_under_a_key_run_than_its_limit(cluster: Cluster, connected: Client, tmp_path: Path) -> None:
    @connected.function(concurrency={"key": "one at a time", "max": 1})
    def alone(folder: str) -> None:
        mark = os.path.join(folder, "mark")
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        time.sleep(0.02)
        os.unlink(mark)

    assert list(alone.map([str(tmp_path)] * 20)) == [None] * 20
    connected.limits.set("one at a time", max=0)
    held = alone.submit(str(tmp_path))
    wait_until(lambda: held.explain()["reason"] == "concurrency_limit")
    assert "0 of at most 0" in cluster.run("tasks", "explain", held.id)
    assert "one at a time" in cluster.run("limits") and "hand" in cluster.run("limits", "show", "one at a time")
    cluster.run("limits", "unset", "one at a time")
    assert held.result(60) is None


def test_limits_of_a_name_that_nobody_knows(cluster: Cluster, connected: Client) -> None:
    with pytest.raises(raftwork.UnknownLimit):
        connected.limits.get("no such key")
    assert cluster.process("limits", "show", "no such key").returncode == 4
