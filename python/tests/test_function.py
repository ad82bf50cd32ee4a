"""Decorated functions, handles and maps, against a fake cluster."""

import asyncio
import gc
import itertools
import pickle
import uuid
import weakref
from typing import Any, Dict, Iterator

import pytest
from fake_core import FakeCore, some_id

import raftwork
from raftwork import Client, Unavailable


def test_a_decorated_function_is_still_a_function(client: Client, core: FakeCore) -> None:
    @client.function(retries=3, timeout="30s")
    def add(a: int, b: int = 2) -> int:
        """Adds."""
        return a + b

    assert (add(1), add.__name__, add.__doc__) == (3, "add", "Adds.")
    assert core.functions == {}


def test_a_submit_registers_once_and_returns_a_handle(client: Client, core: FakeCore) -> None:
    @client.function(name="sum", retries=3, retry_delay="250ms", timeout=90, retention="7d")
    def add(a: int, b: int) -> int:
        return a + b

    first, second = add.submit(1, 2), add.submit(3, b=4)

    assert (first.result(5), second.result(5), first.status()) == (3, 7, "completed")
    [function] = core.functions.values()
    assert function["name"] == "sum" and function["retry"] == (4, 250, 60_000)
    assert (function["run_max_ms"], function["retention_ms"]) == (90_000, 7 * 86_400_000)


def test_options_belong_to_the_task(client: Client, core: FakeCore) -> None:
    @client.function
    def f() -> None: ...

    f.options(priority=9, delay="5s").options(retries=0, timeout="1m").submit()
    [(_, options)] = core.submits
    given = {name: value for name, value in options.items() if value is not None}
    assert given == {"priority": 9, "delay_ms": 5000, "retry": (1, 1000, 60_000), "run_max_ms": 60_000}


def test_a_policy_is_the_function_s_or_the_submit_s(client: Client, core: FakeCore) -> None:
    class Broken(ValueError):
        pass

    @client.function(no_retry=[ValueError, "shop.Closed"], start_by="5m", total_timeout="1h")
    def f() -> None: ...

    f.submit()
    f.options(no_retry=Broken, start_by=1, run_at="1970-01-01T00:00:01+00:00").submit()
    f.options(no_retry=[]).submit()
    names = ("no_retry", "start_by_ms", "total_ms", "run_at_ms")
    local = "test_a_policy_is_the_function_s_or_the_submit_s.<locals>.Broken"
    assert [tuple(options[name] for name in names) for _, options in core.submits] == [
        (["ValueError", "shop.Closed"], 300_000, 3_600_000, None),
        ([f"{__name__}.{local}"], 1000, 3_600_000, 1000),
        ([], 300_000, 3_600_000, None),
    ]
    with pytest.raises(TypeError, match="neither a class of exceptions nor the name of one"):
        f.options(no_retry=[int])


def test_tags_are_the_function_s_or_the_submit_s(client: Client, core: FakeCore) -> None:
    @client.function(tags=["gpu"])
    def f() -> None: ...

    f.submit()
    f.options(tags=["zone=eu", "gpu"]).submit()
    f.options(tags=[]).submit()
    assert [options["tags"] for _, options in core.submits] == [["gpu"], ["zone=eu", "gpu"], []]


def test_limits_are_the_function_s_or_the_submit_s(client: Client, core: FakeCore) -> None:
    @client.function(concurrency={"key": "k", "max": 3}, rate={"key": "r", "max": 10, "per": "1m"})
    def f() -> None: ...

    f.submit()
    f.options(concurrency={"key": "other", "max": 1}, priority=9).submit()
    limits = [(options["concurrency"], options["rate"]) for _, options in core.submits]
    assert limits == [(("k", 3), ("r", 10, 60_000)), (("other", 1), ("r", 10, 60_000))]


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": {"key": "k"}},
        {"concurrency": ("k", 3)},
        {"concurrency": {"key": "k", "max": 0}},
        {"concurrency": {"key": "k", "max": 1.5}},
        {"rate": {"key": "k", "max": 3}},
        {"rate": {"key": "k", "max": 3, "per": "soon"}},
    ],
)
def test_a_limit_that_makes_no_sense_is_told_at_once(client: Client, options: Dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        client.function(**options)(abs)


def test_a_recursive_function_takes_its_plain_self_along(client: Client, core: FakeCore) -> None:
    namespace = {"client": client}
    exec(
        "@client.function\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n",
        namespace,
    )
    fib = namespace["fib"]
    assert fib.submit(10).result(5) == 55  # type: ignore[attr-defined]
    [function] = core.functions.values()
    assert b"raftwork" not in function["code"], "a worker would need the package to load it"


def test_a_function_that_the_cluster_has_lost_is_registered_again(client: Client, core: FakeCore) -> None:
    @client.function
    def f() -> int:
        return 1

    f.submit().result(5)
    core.functions.clear()
    assert f.submit().result(5) == 1


def test_a_refused_submit_leaves_nothing_behind(client: Client, core: FakeCore) -> None:
    @client.function
    def f() -> int:
        return 1

    core.fail_next_submit = Unavailable("no leader")
    with pytest.raises(Unavailable):
        f.submit()
    assert client._results._waiters == {}


def test_an_exception_is_the_function_s_own(client: Client) -> None:
    @client.function
    def f() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError) as caught:
        f.submit().result(5)
    assert isinstance(caught.value.__cause__, raftwork.RemoteTraceback)


def test_a_result_that_does_not_come_in_time(client: Client, core: FakeCore) -> None:
    core.hold = True
    from concurrent.futures import TimeoutError as FutureTimeoutError

    handle = client.submit(len, "abc")
    with pytest.raises(FutureTimeoutError, match="it goes on"):
        handle.result(0.01)
    core.run([handle._bytes])
    assert handle.result(5) == 3


def test_a_handle_is_found_again_by_its_id(client: Client, core: FakeCore) -> None:
    handle = client.submit(len, "abc")
    handle.result(5)
    again = client.get(handle.id)
    assert again == handle and again.result(5) == 3
    with pytest.raises(raftwork.UnknownTask):
        client.get("0190a5e4-7c3b-7cc1-8a54-2f6a5d1b9c3e").result(5)
    with pytest.raises(ValueError, match="is not a task id"):
        client.get("banana")


def test_cancel_says_whether_it_came_in_time(client: Client, core: FakeCore) -> None:
    core.hold = True
    early, late = client.submit(len, "a"), client.submit(len, "b")
    core.run([late._bytes])
    assert (early.cancel(), late.cancel()) == (True, False)
    with pytest.raises(raftwork.TaskCancelledError):
        early.result(5)


def test_a_handle_can_be_awaited(client: Client) -> None:
    async def main() -> int:
        return await client.submit(len, "abc")

    assert asyncio.run(main()) == 3


def test_closing_the_client_ends_every_wait(client: Client, core: FakeCore) -> None:
    core.hold = True
    handle = client.submit(len, "abc")
    client.close()
    with pytest.raises(raftwork.ClientClosed):
        handle.result(5)


def test_map_keeps_order_and_repeats_constants(client: Client) -> None:
    @client.function
    def f(a: int, b: int, c: str = "", d: int = 0) -> str:
        return f"{a}{b}{c}{d}"

    assert list(f.map([1, 2, 3], 5, "xy", d=7)) == ["15xy7", "25xy7", "35xy7"]
    assert list(f.map([1, 2, 3], iter([4, 5]))) == ["140", "250"]
    assert list(f.starmap([(1, 2), (3, 4)])) == ["120", "340"]
    with pytest.raises(TypeError, match="at least one iterable"):
        f.map(1, "x")


def test_map_takes_an_endless_input_in_a_bounded_window(client: Client) -> None:
    @client.function
    def double(n: int) -> int:
        return 2 * n

    results = double.options(in_flight=100).map(itertools.count())
    for n in range(300):
        assert 75 <= results.submitted - n <= 100
        assert next(results) == 2 * n


def test_map_submits_ever_larger_batches(client: Client, core: FakeCore) -> None:
    @client.function
    def same(n: int) -> int:
        return n

    assert sum(same.map(iter(range(10_000)))) == sum(range(10_000))
    sizes = [len(ids) for ids, _ in core.submits]
    assert sizes[:4] == [64, 128, 256, 512] and max(sizes) == 2000


def test_a_long_map_of_known_length_is_sent_as_a_whole(client: Client, core: FakeCore) -> None:
    @client.function
    def f(a: int, b: str, c: int = 0) -> str:
        return f"{a}{b}{c}"

    core.hold = True
    results = f.map(range(5000), "x", c=7)
    assert (results.submitted, core.submits) == (5000, [])
    (map,) = core.maps
    assert results.id == str(uuid.UUID(bytes=map))
    core.run(core.maps[map])
    assert list(results) == [f"{n}x7" for n in range(5000)]


def test_a_whole_map_is_waited_for_in_a_bounded_window(client: Client, core: FakeCore) -> None:
    core.hold = True
    results = client._function_of(abs).options(in_flight=100, ordered=False).map(range(3000))
    (items,) = core.maps.values()
    for n in range(0, 3000, 50):
        assert len(core.watched) <= 100
        core.run(items[n : n + 50])
        assert sorted(next(results) for _ in range(50)) == list(range(n, n + 50))
    assert list(results) == []


def test_a_whole_map_is_found_again_by_its_id(client: Client, core: FakeCore) -> None:
    first = client._function_of(abs).map(range(3000))
    assert next(first) == 0
    assert first.id is not None
    again = client.get_map(first.id)
    assert (list(again), again.submitted) == (list(range(3000)), 3000)
    with pytest.raises(ValueError, match="is not a map id"):
        client.get_map("banana")


def test_a_whole_map_is_cancelled_as_a_whole(client: Client, core: FakeCore) -> None:
    core.hold = True
    results = client._function_of(abs).options(in_flight=10).map(range(3000))
    results.cancel()
    assert [type(value) for value in _drain(results)] == [raftwork.TaskCancelledError] * 10
    results.cancel()


def test_map_cuts_a_batch_at_a_megabyte(client: Client, core: FakeCore) -> None:
    @client.function
    def size(data: bytes) -> int:
        return len(data)

    assert sum(size.map([bytes(400_000)] * 7)) == 2_800_000
    assert [len(ids) for ids, _ in core.submits] == [3, 3, 1]


def test_map_unordered_gives_what_has_ended(client: Client, core: FakeCore) -> None:
    @client.function
    def same(n: int) -> int:
        return n

    core.hold = True
    results = same.options(ordered=False).map(range(3))
    for id in reversed(core.submits[0][0]):
        core.run([id])
    assert list(results) == [2, 1, 0]


def test_map_goes_on_after_an_exception(client: Client) -> None:
    @client.function
    def inverse(n: int) -> float:
        return 1 / n

    results = inverse.map([1, 0, 2])
    assert next(results) == 1.0
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert next(results) == 0.5
    kinds = [type(value) for value in inverse.options(return_exceptions=True).map([1, 0])]
    assert kinds == [float, ZeroDivisionError]


def test_map_ends_when_its_input_fails(client: Client) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(client._function_of(len).map(broken()))


def test_a_cancelled_map_submits_nothing_more(client: Client, core: FakeCore) -> None:
    core.hold = True
    results = client._function_of(abs).options(in_flight=10).map(itertools.count())
    results.cancel()
    outcomes = [type(value) for value in _drain(results)]
    assert outcomes == [raftwork.TaskCancelledError] * results.submitted
    assert 8 <= results.submitted <= 10


def _drain(results: "raftwork.MapResults[int]") -> Iterator[object]:
    while True:
        try:
            yield next(results)
        except StopIteration:
            return
        except raftwork.RaftworkError as error:
            yield error


def test_a_handle_does_not_pickle_its_client(client: Client) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(raftwork.Handle(client, some_id(), watched=False))


def test_handles_come_as_their_tasks_end(client: Client, core: FakeCore) -> None:
    core.hold = True
    handles = [client.submit(abs, -n) for n in range(3)]
    core.run([handles[1]._bytes])
    handles[1].result(5)
    ended = client.as_completed(handles, timeout=5)
    assert next(ended) == handles[1]
    for handle in (handles[2], handles[0]):
        core.run([handle._bytes])
        assert next(ended) == handle and handle.done()
    assert list(ended) == []


def test_as_completed_says_how_many_are_late(client: Client, core: FakeCore) -> None:
    from concurrent.futures import TimeoutError as FutureTimeoutError

    core.hold = True
    with pytest.raises(FutureTimeoutError, match=r"2 \(of 2\) tasks have not ended"):
        list(client.as_completed([client.submit(abs, -n) for n in range(2)], timeout=0.01))


class Counter:
    def __init__(self) -> None:
        self.count = 1

    def get(self) -> int:
        return self.count


@pytest.mark.filterwarnings("ignore::raftwork.MissingModuleWarning")
def test_a_plain_function_is_pickled_once_and_an_object_each_time(client: Client, core: FakeCore) -> None:
    counter = Counter()
    assert client.submit(counter.get).result(5) == 1
    counter.count = 2
    assert client.submit(counter.get).result(5) == 2
    assert client._function_of(abs) is client._function_of(abs)


@pytest.mark.filterwarnings("ignore::raftwork.MissingModuleWarning")
def test_a_submitted_object_is_not_kept_alive(client: Client) -> None:
    counter = Counter()
    gone = weakref.ref(counter)
    client.submit(counter.get).result(5)
    del counter
    gc.collect()
    assert gone() is None
