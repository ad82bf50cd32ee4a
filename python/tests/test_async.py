"""The client for asyncio, against a fake cluster."""

import asyncio
from typing import Any, AsyncIterator, Awaitable, Callable, List, Set

import pytest
from fake_core import FakeCore

import raftwork
from raftwork import AsyncClient, Client
from raftwork._function import Function
from raftwork._handle import Handle
from raftwork._map import MapResults

Scene = Callable[[AsyncClient], Awaitable[Any]]


def play(scene: Scene) -> Any:
    """Run a scene in a loop of its own, with a client of the fake."""

    async def main() -> Any:
        async with AsyncClient("http://fake:1") as client:
            return await scene(client)

    return asyncio.run(main())


def names(kind: type) -> Set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("plain", "asynchronous", "missing"),
    [
        (Client, AsyncClient, set()),
        (Function, raftwork.AsyncFunction, set()),
        (Handle, raftwork.AsyncHandle, {"ended", "ended_together"}),
        (MapResults, raftwork.AsyncMapResults, {"ended", "ended_together", "ready"}),
    ],
)
def test_both_clients_have_the_same_names(plain: type, asynchronous: type, missing: Set[str]) -> None:
    assert names(plain) - names(asynchronous) == missing
    assert names(asynchronous) - names(plain) <= {"urls"}


def test_a_function_is_submitted_and_awaited(core: FakeCore) -> None:
    async def scene(client: AsyncClient) -> Any:
        @client.function(retries=3)
        def add(a: int, b: int = 2) -> int:
            """Adds."""
            return a + b

        assert (add(1), add.__name__, add.__doc__) == (3, "add", "Adds.")
        handle = await add.submit(1, b=4)
        assert await handle == 5 and handle.done() and await handle.status() == "completed"
        return await client.get(handle.id)

    assert play(scene) == 5


def test_submits_of_one_moment_share_a_request(core: FakeCore) -> None:
    async def scene(client: AsyncClient) -> List[int]:
        core.gate.clear()
        first = asyncio.ensure_future(client.submit(abs, -1))
        while not core.at_gate:
            await asyncio.sleep(0)
        others = [asyncio.ensure_future(client.submit(abs, -n)) for n in range(100)]
        await asyncio.sleep(0)
        core.gate.set()
        return [await handle for handle in await asyncio.gather(first, *others)]

    assert play(scene) == [1, *range(100)]
    assert [len(ids) for ids, _ in core.submits] == [1, 100]


def test_a_refused_submit_raises_where_it_was_made(core: FakeCore) -> None:
    async def scene(client: AsyncClient) -> None:
        core.fail_next_submit = raftwork.Unavailable("no leader")
        with pytest.raises(raftwork.Unavailable):
            await client.submit(abs, -1)
        with pytest.raises(raftwork.SerializationError, match="argument 0, a generator"):
            await client.submit(abs, (n for n in ()))

    play(scene)


def test_giving_up_an_await_does_not_end_the_task(core: FakeCore) -> None:
    core.hold = True

    async def scene(client: AsyncClient) -> None:
        handle = await client.submit(abs, -1)
        with pytest.raises(asyncio.TimeoutError, match="it goes on"):
            await handle.result(timeout=0.01)
        waiting = asyncio.ensure_future(handle.result())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await handle.status() == "running"
        core.run([handle._handle._bytes])
        assert await handle == 1

    play(scene)


def test_a_plain_handle_too_is_only_waited_for(core: FakeCore) -> None:
    core.hold = True

    async def main(client: Client) -> None:
        handle = client.submit(abs, -1)

        async def wait() -> int:
            return await handle

        waiting = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert handle.status() == "running"

    with Client("http://fake:1") as client:
        asyncio.run(main(client))


def test_handles_come_as_their_tasks_end(core: FakeCore) -> None:
    core.hold = True

    async def scene(client: AsyncClient) -> List[int]:
        handles = [await client.submit(abs, -n) for n in range(3)]
        seen = []

        async def watch(ended: "AsyncIterator[raftwork.AsyncHandle[int]]") -> None:
            async for handle in ended:
                seen.append(await handle)
                if len(seen) < 3:
                    core.run([handles[2 - len(seen)]._handle._bytes])

        core.run([handles[2]._handle._bytes])
        await watch(client.as_completed(handles, timeout=30))
        with pytest.raises(asyncio.TimeoutError, match="1 tasks have not ended"):
            await watch(client.as_completed([await client.submit(abs, 9)], timeout=0.01))
        return seen

    assert play(scene) == [2, 1, 0]


def test_map_is_an_asynchronous_iterator(core: FakeCore) -> None:
    async def scene(client: AsyncClient) -> None:
        @client.function
        def inverse(n: int) -> float:
            return 1 / n

        results = inverse.options(in_flight=50).map(range(1, 1001))
        assert results.submitted == 0
        assert [value async for value in results] == [1 / n for n in range(1, 1001)]
        assert results.submitted == results.finished == 1000
        assert [value async for value in inverse.starmap([(2,)])] == [0.5]
        failing = inverse.map([0, 4])
        with pytest.raises(ZeroDivisionError):
            await failing.__anext__()
        assert await failing.__anext__() == 0.25

    play(scene)


def test_a_cancelled_map_submits_nothing_more(core: FakeCore) -> None:
    core.hold = True

    async def scene(client: AsyncClient) -> None:
        results = AsyncClient.function(client, abs).options(in_flight=8, return_exceptions=True).map(range(100))
        await results.cancel()
        kinds = [type(value) async for value in results]
        assert kinds == [raftwork.TaskCancelledError] * results.submitted and 0 < results.submitted <= 8

    play(scene)


def test_closing_hands_over_what_was_submitted(core: FakeCore) -> None:
    async def main() -> None:
        client = AsyncClient("http://fake:1")
        core.gate.clear()
        submitting = asyncio.ensure_future(client.submit(abs, -1))
        while not core.at_gate:
            await asyncio.sleep(0)
        closing = asyncio.ensure_future(client.close())
        await asyncio.sleep(0)
        core.gate.set()
        await asyncio.gather(submitting, closing)
        with pytest.raises(RuntimeError, match="closed"):
            await client.submit(abs, -1)

    asyncio.run(main())
    assert len(core.tasks) == 1
