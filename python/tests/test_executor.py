"""The executor behaves as one of the standard library."""

import concurrent.futures
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


def test_shutdown_can_cancel_what_is_open(client: Client, core: FakeCore) -> None:
    core.hold = True
    executor = client.executor()
    futures = [executor.submit(abs, -n) for n in range(10)]
    executor.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in futures)


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
