"""The executor behaves as one of the standard library."""

import concurrent.futures
import functools
import gc
import os
import subprocess
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, as_completed, wait

import pytest
from conftest import wait_until
from fake_core import FakeCore

import raftwork
from raftwork import Client
from raftwork._function import SUBMIT_ITEMS


def test_submit_map_and_as_completed(client: Client) -> None:
    with client.executor() as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        futures = [executor.submit(pow, n, 2) for n in range(100)]
        assert sorted(future.result(5) for future in as_completed(futures, timeout=5)) == [n * n for n in range(100)]
        assert list(executor.map(pow, [2, 3], [3, 2], timeout=5)) == [8, 9]


def test_calls_made_in_a_burst_share_submits(client: Client, core: FakeCore) -> None:
    with client.executor() as executor:
        core.gate.clear()
        first = executor.submit(abs, -1)
        wait_until(lambda: core.at_gate)
        futures = [executor.submit(abs, -n) for n in range(5000)]
        core.gate.set()
        assert [future.result(5) for future in [first, *futures]] == [1, *range(5000)]
    assert [len(ids) for ids, _ in core.submits] == [1, SUBMIT_ITEMS, SUBMIT_ITEMS, 5000 - 2 * SUBMIT_ITEMS]


def test_exceptions_belong_to_their_future(client: Client) -> None:
    with client.executor() as executor:
        bad, good = executor.submit(int, "x"), executor.submit(int, "1")
        assert isinstance(bad.exception(5), ValueError) and good.result(5) == 1


def test_a_submit_that_the_cluster_refuses_fails_its_futures_alone(client: Client, core: FakeCore) -> None:
    with client.executor() as executor:
        core.fail_next_submit = raftwork.Unavailable("no leader")
        with pytest.raises(raftwork.Unavailable):
            executor.submit(abs, -1).result(5)
        assert executor.submit(abs, -1).result(5) == 1


def test_what_cannot_be_pickled_fails_at_submit(client: Client) -> None:
    with client.executor() as executor, pytest.raises(raftwork.SerializationError):
        executor.submit(abs, (n for n in ()))


def test_a_running_task_can_be_cancelled(client: Client, core: FakeCore) -> None:
    core.hold = True
    with client.executor() as executor:
        future = executor.submit(abs, -1)
        wait_until(future.running)
        assert future.cancel() and future.cancelled() and future.done()
        assert wait([future], 5, FIRST_COMPLETED).done == {future}
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(0)


def test_a_finished_task_cannot_be_cancelled(client: Client) -> None:
    with client.executor() as executor:
        future = executor.submit(abs, -1)
        assert future.result(5) == 1
        assert not future.cancel() and not future.cancelled()


def test_a_cancel_by_somebody_else_cancels_the_future(client: Client, core: FakeCore) -> None:
    core.hold = True
    with client.executor() as executor:
        future = executor.submit(abs, -1)
        wait_until(future.running)
        client.get(future.task_id).cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(5)


def test_shutdown_waits_for_every_future(client: Client, core: FakeCore) -> None:
    core.hold = True
    executor = client.executor()
    futures = [executor.submit(abs, -n) for n in range(10)]
    closer = threading.Thread(target=executor.shutdown)
    closer.start()
    wait_until(lambda: len(core.tasks) == 10)
    assert closer.is_alive() and not any(future.done() for future in futures)
    core.run(list(core.tasks))
    closer.join(5)
    assert not closer.is_alive() and all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)


def test_shutdown_without_waiting_still_delivers(client: Client, core: FakeCore) -> None:
    core.hold = True
    executor = client.executor()
    future = executor.submit(abs, -1)
    executor.shutdown(wait=False)
    wait_until(lambda: len(core.tasks) == 1)
    core.run(list(core.tasks))
    assert future.result(5) == 1


def test_a_closed_client_fails_what_is_open(client: Client, core: FakeCore) -> None:
    core.hold = True
    executor = client.executor()
    future = executor.submit(abs, -1)
    wait_until(lambda: len(core.tasks) == 1)
    client.close()
    with pytest.raises(raftwork.ClientClosed):
        future.result(5)
    executor.shutdown()


def test_callbacks_run(client: Client) -> None:
    seen = threading.Event()
    with client.executor() as executor:
        executor.submit(abs, -1).add_done_callback(lambda _: seen.set())
        assert seen.wait(5)


def test_max_workers_bounds_what_is_with_the_cluster(client: Client, core: FakeCore) -> None:
    core.hold = True
    with client.executor(max_workers=2) as executor:
        futures = [executor.submit(abs, -n) for n in range(5)]
        for submitted in (2, 4, 5):
            wait_until(functools.partial(lambda count: len(core.tasks) == count, submitted))
            assert not futures[submitted - 1].done()
            core.run(list(core.tasks))
            assert [future.result(5) for future in futures[:submitted]] == list(range(submitted))
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        client.executor(0)


def test_what_waits_here_is_cancelled_without_asking(client: Client, core: FakeCore) -> None:
    core.hold = True
    executor = client.executor(max_workers=1)
    first, second, third = (executor.submit(abs, -n) for n in range(3))
    wait_until(lambda: len(core.tasks) == 1)
    assert second.cancel() and second.cancelled()
    core.run(list(core.tasks))
    assert first.result(5) == 0
    wait_until(lambda: len(core.tasks) == 2)
    core.run(list(core.tasks))
    assert third.result(5) == 2
    executor.shutdown()


def test_shutdown_cancels_what_has_not_started_and_no_more(client: Client, core: FakeCore) -> None:
    core.hold = True
    executor = client.executor()
    running, queued = executor.submit(abs, -1), executor.submit(abs, -2)
    wait_until(lambda: len(core.tasks) == 2)
    core.queued = {queued._bytes}
    executor.shutdown(wait=False, cancel_futures=True)
    assert queued.cancelled() and not running.done()
    core.run(list(core.tasks))
    assert running.result(5) == 1


def test_map_in_chunks_makes_a_task_of_each(client: Client, core: FakeCore) -> None:
    with client.executor() as executor:
        assert list(executor.map(pow, range(10), range(10), chunksize=4)) == [n**n for n in range(10)]
        with pytest.raises(ValueError, match="chunksize"):
            executor.map(abs, [1], chunksize=0)
    assert len(core.tasks) == 3


def test_an_executor_that_nobody_holds_finishes_its_calls(client: Client, core: FakeCore) -> None:
    core.hold = True
    executor = client.executor()
    future, thread = executor.submit(abs, -1), None
    thread = executor._calls.batcher._thread
    del executor
    gc.collect()
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()
    core.run(list(core.tasks))
    assert future.result(5) == 1


AT_EXIT = """
import sys, time, threading
sys.path.insert(0, sys.argv[1])
import raftwork, raftwork._client
from fake_core import FakeCore
core = FakeCore()
core.hold = True
raftwork._client.Core = lambda urls, patience: core
executor = raftwork.Client("http://fake:1").executor()
executor.submit(abs, -1).add_done_callback(lambda future: print("done", future.result()))
def later():
    while not core.tasks:
        time.sleep(0.01)
    print("ending")
    core.run(list(core.tasks))
threading.Thread(target=later, daemon=True).start()
"""


def test_an_interpreter_that_ends_waits_for_its_calls() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, os.path.dirname(__file__)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "ending\ndone 1\n", done.stderr


FORKED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import raftwork, raftwork._client
from fake_core import FakeCore
core = FakeCore()
core.hold = True
raftwork._client.Core = lambda urls, patience: core
client = raftwork.Client("http://fake:1")
executor = client.executor()
handle, future = client.submit(abs, -1), executor.submit(abs, -2)
pid = os.fork()
if pid == 0:
    for use in (handle.result, lambda: executor.submit(abs, 1), lambda: client.submit(abs, 1)):
        try:
            use()
        except RuntimeError as error:
            assert "fork" in str(error), error
        else:
            sys.exit(7)
    sys.exit(42)  # an orderly exit: it must not wait for the parent's calls
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
core.hold = False
core.run(list(core.tasks))
assert (handle.result(5), future.result(5)) == (1, 2)
"""


def test_a_forked_copy_refuses_at_once_and_leaves_in_order() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, os.path.dirname(__file__)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
