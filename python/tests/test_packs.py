"""Calls of a large map in packs: every item is a pickle of its own call once its parts are put together."""

import io
import operator
import pickle
from typing import Any, Dict, List, Tuple

import dill
import pytest

from raftwork import SerializationError
from raftwork._packs import GROUP_BYTES, GROUP_MAX, Packs, pack

Row = Tuple[Any, ...]


class Local:
    """A class that only dill can take along, as one of a script is."""

    __module__ = "__main__"

    def __init__(self, n: int) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return type(other).__name__ == "Local" and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]


def items(packs: Packs) -> List[bytes]:
    """What the server makes of packs."""
    made: List[bytes] = []
    for one in packs:
        if isinstance(one, bytes):
            made.append(one)
        else:
            head, tail, count = one
            made += [head + number.to_bytes(4, "little") + tail for number in range(count)]
    return made


@pytest.mark.parametrize(
    "rows",
    [
        [(n,) for n in range(1000)],
        [(n, str(n), [n, {"k": n}]) for n in range(50)],
        [("x" * 100,), ("y" * 5000,), ("z",)] * 20,
        [(None,), ((),)],
        [((1, 2),), ([1],), (operator.add,), (float("inf"),), (2**80,)],
        [(bytes(2 * GROUP_BYTES),)] * 5,
        [(lambda: 5,), (7,)],
        [(Local(n),) for n in range(40)],
    ],
    ids=["numbers", "several", "mixed", "nothing", "types", "large", "lambda", "script"],
)
@pytest.mark.parametrize("constants", [{}, {"c": 7, "d": "x"}, {"big": "x" * 2000}], ids=["none", "some", "large"])
@pytest.mark.parametrize("bare", [False, True], ids=["rows", "bare"])
def test_every_item_is_its_own_call(rows: List[Row], constants: Dict[str, Any], bare: bool) -> None:
    if bare:
        rows = [row[:1] for row in rows]
    made = items(pack((row[0] for row in rows) if bare else iter(rows), constants, bare=bare))
    assert len(made) == len(rows)
    for payload, row in zip(made, rows):
        args, kwargs = dill.loads(payload)
        assert kwargs == constants
        if callable(row[0]) and row[0] is not operator.add:
            assert args[0]() == row[0]()
        else:
            assert args == row


def test_small_calls_share_what_they_have_in_common() -> None:
    packs = pack(iter(range(100_000)), {"c": 7}, bare=True)
    assert len(packs) <= 100_000 // GROUP_MAX + 1
    carried = sum(len(one) if isinstance(one, bytes) else len(one[0]) + len(one[1]) for one in packs)
    assert carried < 12 * 100_000
    assert max(len(payload) for payload in items(packs[:10])) < GROUP_BYTES


def test_every_item_passes_as_a_pickle() -> None:
    for payload in items(pack(iter(range(20)), {}, bare=True)):
        assert payload[:1] == b"\x80" and payload[-1:] == b"."
        # The plain machine of the standard library, as a worker has it.
        assert isinstance(pickle.Unpickler(io.BytesIO(payload)).load(), tuple)


def test_what_cannot_be_pickled_is_named() -> None:
    with pytest.raises(SerializationError, match="generator"):
        pack(iter([1, (n for n in range(2))]), {}, bare=True)
