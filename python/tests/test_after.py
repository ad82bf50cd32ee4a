"""Tasks that run after others, and handles as arguments, against a fake cluster."""

import asyncio
import copy
import pickle
import uuid
from operator import add
from typing import Any, Dict, List, Tuple

import pytest
from fake_core import FakeCore, some_id

import raftwork
from raftwork import AsyncClient, Client, SerializationError
from raftwork._outcome import Outcome, TaskFailure


def asked(core: FakeCore) -> List[Dict[str, Any]]:
    """What each submit said of other tasks."""
    names = ("after", "on_failure", "results_of")
    said = [{name: options[name] for name in names if options[name]} for _, options in core.submits]
    core.submits.clear()
    return said


def test_tasks_are_named_by_handle_or_id(client: Client, core: FakeCore) -> None:
    first, second = client.submit(add, 1, 2), client.submit(add, 3, 4)
    asked(core)
    function = client.function(add)
    client.submit(add, 1, 2, after=[first, second.id], on_failure="run")
    client.submit(add, 1, 2, after=first)
    function.options(after=[uuid.UUID(second.id)], priority=9).options(delay=1).submit(1, 2)
    assert asked(core) == [
        {"after": [first._bytes, second._bytes], "on_failure": "run"},
        {"after": [first._bytes]},
        {"after": [second._bytes]},
    ]


def test_a_function_gets_its_own_parameter_of_the_name(client: Client, core: FakeCore) -> None:
    def wait(after: float, **others: float) -> Tuple[float, Dict[str, float]]:
        return after, others

    assert client.submit(wait, after=5).result(5) == (5, {})
    assert asked(core) == [{}]
    client._function_of(wait).options(after=[some_id().hex()]).submit(after=5)
    assert len(asked(core)[0]["after"]) == 1


def test_what_makes_no_sense_is_refused_here(client: Client, core: FakeCore) -> None:
    function = client.function(add)
    with pytest.raises(ValueError, match="'b' is neither"):
        function.options(after=["b"])
    with pytest.raises(ValueError, match="neither"):
        function.options(after=[3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="'fail' or 'run'"):
        function.options(on_failure="ignore")
    waiting = function.options(after=[some_id().hex()])
    with pytest.raises(ValueError, match="a map takes no after"):
        waiting.map([1], [2])
    with pytest.raises(ValueError, match="a schedule takes no after"):
        client.schedule("nightly", waiting, every="1h")
    assert core.submits == []


def test_a_handle_among_the_arguments_stands_for_its_result(client: Client, core: FakeCore) -> None:
    first = client.submit(add, 1, 2)
    first.result(5)
    asked(core)
    assert client.submit(pow, first, exp=2).result(5) == 9
    assert client.submit(sum, [first, 1, first]).result(5) == 7
    handles = [client.get(first.id) for _ in range(2)]
    assert client.submit(lambda pairs: pairs["x"][1], {"x": handles}).result(5) == 3
    client.run(first, 1, function_id=client.register_function(add))
    assert asked(core) == [{"results_of": [first._bytes]}] * 4


def test_calls_with_handles_share_no_request_with_others(client: Client, core: FakeCore) -> None:
    first = client.submit(add, 1, 2)
    first.result(5)
    asked(core)
    core.at_gate = False
    core.gate.clear()
    with client.executor() as executor:
        held = executor.submit(abs, -1)
        while not core.at_gate:
            pass
        calls = [executor.submit(abs, n) for n in (-2, first, -4, -5)]
        core.gate.set()
        assert [future.result(5) for future in (held, *calls)] == [1, 2, 3, 4, 5]
    assert [len(ids) for ids, _ in core.submits] == [1, 1, 1, 2]
    assert asked(core) == [{}, {}, {"results_of": [first._bytes]}, {}]


def test_both_in_asyncio(core: FakeCore) -> None:
    async def scene() -> int:
        async with AsyncClient("http://fake:1") as client:
            first = await client.submit(add, 1, 2)
            await first
            asked(core)
            second = await client.submit(add, first, 4, after=first, on_failure="run")
            expected = {"after": [first._handle._bytes], "on_failure": "run", "results_of": [first._handle._bytes]}
            assert asked(core) == [expected]
            return await second

    assert asyncio.run(scene()) == 7


def test_a_copy_of_a_handle_is_the_handle(client: Client, core: FakeCore) -> None:
    first = client.submit(add, 1, 2)
    assert copy.copy(first) is first
    assert copy.deepcopy([first]) == [first]


def test_a_handle_is_pickled_nowhere_else(client: Client, core: FakeCore) -> None:
    first = client.submit(add, 1, 2)
    with pytest.raises(TypeError, match="pass its id"):
        pickle.dumps(first)
    with pytest.raises(SerializationError, match=r"argument 0, a raftwork\._handle\.Handle: a handle stands"):
        list(client.function(add).map([first], 1))
    with pytest.raises(SerializationError, match="it uses 'first', a raftwork"):
        client.submit(lambda: first)
    with pytest.raises(SerializationError, match="handle"):
        client.schedule("nightly", add, (first, 1), every="1h")
    with pytest.raises(SerializationError, match="argument 1, a generator"):
        client.submit(add, first, (n for n in ()))


def test_a_task_that_never_ran_names_the_one_that_it_waited_for() -> None:
    task, other = some_id(), some_id()
    failure = TaskFailure("dependency", "", f"task {uuid.UUID(bytes=other)}, ..., failed", "", dependency=other)
    error = Outcome(task, "failed", None, tuple(failure)).exception()
    assert isinstance(error, raftwork.DependencyFailed) and error.dependency == str(uuid.UUID(bytes=other))
    assert error.task_id == str(uuid.UUID(bytes=task)) and "failed" in str(error)
