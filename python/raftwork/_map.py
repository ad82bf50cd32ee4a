"""One function over many arguments: a window of tasks that moves along the input, or along what was sent as a whole."""

import itertools
import struct
import time
import uuid
from collections import deque
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    Dict,
    Generic,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from ._core import new_map_id, new_task_ids
from ._handle import Handle
from ._outcome import Outcome
from ._progress import DRAW_EVERY, Bar
from ._results import Waiter
from ._serialize import dump_arguments
from .errors import AlreadyFinished

if TYPE_CHECKING:
    from ._client import Client
    from ._function import Function, MapOptions

R = TypeVar("R")

#: Size of the first submit, so that workers begin at once; it doubles from there.
FIRST_SUBMIT = 64
#: Submits that a full window is made of, at least.
WINDOW_PARTS = 4
#: Calls above which an input that knows its length is sent as a whole. Fewer are one submit or two anyway.
WHOLE_ABOVE = 2000


class Calls(NamedTuple):
    """What a ``map`` is to call."""

    rows: Iterator[Tuple[Any, ...]]
    """The positional arguments of each call."""
    constants: Dict[str, Any]
    """The keyword arguments of every call."""
    total: Optional[int]
    """How many there are, if the input knows that."""
    bare: Optional[Iterator[Any]] = None
    """What ``rows`` takes from, if each call has one positional argument."""


class MapResults(Waiter, Generic[R]):
    """Iterator over the results of a ``map``.

    An exception of one task is raised in its place, and iterating further gives the results after it.
    """

    def __init__(
        self,
        client: "Client",
        options: "MapOptions",
        calls: Calls,
        function: "Optional[Function[Any, R]]" = None,
        attached: Optional[Tuple[bytes, int]] = None,
    ) -> None:
        self._client = client
        self._function = function
        self._calls = calls
        self._options = options
        if self._options.in_flight < 1:
            raise ValueError(f"in_flight = {self._options.in_flight}; at least one task must be under way")
        # The map on the cluster, and how many items it has, if all of it was sent at once.
        self._map: Optional[bytes] = None
        self._items = 0
        if attached is not None:
            self._map, self._items = attached
        self._exhausted = False
        self._submit_items = FIRST_SUBMIT
        # Tasks that were submitted and not yet handed out: in the order of the results if that is asked for, else each
        # to be found by its id.
        self._order: Deque[bytes] = deque()
        self._open: Dict[bytes, None] = {}
        # Those of them that have ended: by id, and in the order of arrival if that is the order of the results.
        self._outcomes: Dict[bytes, Outcome] = {}
        self._arrivals: Deque[bytes] = deque()
        self._taken = 0
        self._failed = 0
        self._submitted = 0
        self._told = False
        self._bar = Bar(calls.total) if self._options.progress else None
        if function is not None and calls.total is not None and calls.total > WHOLE_ABOVE:
            self._send_whole(function)
        self._fill()

    @property
    def id(self) -> Optional[str]:
        """The id of the map, for ``client.get_map``; ``None`` for one that is submitted as results are taken."""
        return None if self._map is None else str(uuid.UUID(bytes=self._map))

    @property
    def submitted(self) -> int:
        """Tasks submitted so far: all of them, if the map was sent as a whole."""
        return self._submitted if self._map is None else self._items

    @property
    def finished(self) -> int:
        """Tasks that have ended so far, handed out or not."""
        return self._taken + len(self._outcomes)

    def __iter__(self) -> Iterator[R]:
        return self

    def __next__(self) -> R:
        """Return the next result, waiting for it; submit more as the window allows."""
        self._fill()
        if self._taken == self._submitted:
            if self._bar is not None:
                self._bar.close(self._taken, self._failed)
            raise StopIteration
        outcome = self._next_outcome()
        self._taken += 1
        self._failed += outcome.status != "completed"
        if self._bar is not None:
            self._bar.show(self._taken, self._failed)
        if outcome.status != "completed" and self._options.return_exceptions:
            return outcome.exception()  # type: ignore[return-value]  # the caller asked for exceptions in place of results
        value: R = outcome.value()
        return value

    def ready(self) -> bool:
        """Whether ``next`` would neither wait nor submit, nor fetch a large result."""
        if not self._exhausted and self._size() is not None:
            return False
        if not (self._order if self._options.ordered else self._open):
            return True
        coming = self._order if self._options.ordered else self._arrivals
        outcome = self._outcomes.get(coming[0]) if coming else None
        return outcome is not None and not outcome.is_large

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        return f"<div><b>map</b> {self.finished} of {self.submitted} submitted tasks have ended</div>"

    def cancel(self) -> None:
        """Submit nothing more, and cancel what has not ended; the results of cancelled tasks raise."""
        self._exhausted = True
        if self._map is not None:
            try:
                self._client._core.cancel_map(self._map)
            except AlreadyFinished:
                pass
            return
        for id in [*self._order, *self._open]:
            if id not in self._outcomes:
                try:
                    self._client._core.cancel(id)
                except AlreadyFinished:
                    pass

    def ended(self, outcome: Outcome) -> None:
        """Take an outcome; for the delivery thread."""
        self.ended_together([outcome])

    def ended_together(self, outcomes: List[Outcome]) -> None:
        """Take outcomes; for the delivery thread."""
        self._outcomes.update([(outcome[0], outcome) for outcome in outcomes])
        if not self._options.ordered:
            self._arrivals.extend([outcome[0] for outcome in outcomes])

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        from . import _follow

        results = self._client._results
        begun = time.monotonic()
        while not results.wait_for(condition, _follow.PATIENCE if self._bar is None else DRAW_EVERY):
            if self._bar is not None:
                self._bar.show(self._taken, self._failed)
            if not self._told and time.monotonic() - begun >= _follow.PATIENCE:
                self._told = True
                _follow.say_why_waiting(Handle(self._client, self._oldest(), watched=True))

    def _oldest(self) -> bytes:
        """The task that is out for longest."""
        return self._order[0] if self._options.ordered else next(iter(self._open))

    def _next_outcome(self) -> Outcome:
        # Most results are here when they are asked for; waiting takes a lock.
        if self._options.ordered:
            id = self._order[0]
            if id not in self._outcomes:
                self._wait_for(lambda: id in self._outcomes)
            self._order.popleft()
        else:
            if not self._arrivals:
                self._wait_for(lambda: bool(self._arrivals))
            id = self._arrivals.popleft()
            del self._open[id]
        return self._outcomes.pop(id)

    def _fill(self) -> None:
        """Submit until the window is full or the input ends."""
        while not self._exhausted:
            size = self._size()
            if size is None:
                return
            self._submit(size)

    def _size(self) -> Optional[int]:
        """How many tasks the next submit has; ``None`` while the window is too full for it."""
        # A part of the window at most, so that workers have the rest while it is filled up.
        size = max(1, min(self._submit_items, self._options.in_flight // WINDOW_PARTS))
        return size if self._options.in_flight - (self._submitted - self._taken) >= size else None

    def _submit(self, most: int) -> None:
        """Submit the next tasks, or begin to wait for those that the cluster has."""
        from ._function import SUBMIT_ITEMS

        ids = self._submit_some(most) if self._map is None else self._watch_some(most)
        if self._options.ordered:
            self._order.extend(ids)
        else:
            self._open.update(dict.fromkeys(ids))
        self._submitted += len(ids)
        self._submit_items = min(2 * self._submit_items, SUBMIT_ITEMS)

    def _submit_some(self, most: int) -> List[bytes]:
        from ._function import SUBMIT_BYTES

        payloads: List[bytes] = []
        size = 0
        while len(payloads) < most and size < SUBMIT_BYTES:
            row = next(self._calls.rows, None)
            if row is None:
                self._exhausted = True
                break
            payloads.append(dump_arguments(row, self._calls.constants))
            size += len(payloads[-1])
        ids = new_task_ids(len(payloads))
        if payloads:
            assert self._function is not None, "what was sent as a whole is not submitted"
            pairs = list(zip(ids, payloads))
            # Large arguments go in parts, of one task alone. They end the loop, so that they are the last.
            alone = len(pairs) > 1 and len(payloads[-1]) > SUBMIT_BYTES
            for together in (pairs[:-1], pairs[-1:]) if alone else (pairs,):
                self._function._submit(together, self)
        return ids

    def _watch_some(self, most: int) -> List[bytes]:
        assert self._map is not None, "the items of a map are watched"
        first, after = self._submitted, min(self._submitted + most, self._items)
        self._exhausted = after == self._items
        ids = item_ids(self._map, first, after)
        if ids:
            self._client._expect(ids, self)
        return ids

    def _send_whole(self, function: "Function[Any, R]") -> None:
        from ._packs import pack

        rows, constants, _, bare = self._calls
        packs = pack(rows if bare is None else bare, constants, bare=bare is not None)
        self._map = new_map_id()
        self._items = function._map(self._map, packs)


def item_ids(map: bytes, first: int, after: int) -> List[bytes]:
    """The tasks of a map's items: its id, whose last four bytes are zero, with the place of each, from 1."""
    prefix, place = map[:12], struct.Struct(">I").pack
    return [prefix + place(index + 1) for index in range(first, after)]


def map_calls(iterables: Tuple[Any, ...], constants: Dict[str, Any]) -> Calls:
    """The calls of a ``map``: iterables side by side, everything else repeated."""
    if len(iterables) == 1 and _is_many(iterables[0]):
        bare = iter(iterables[0])
        return Calls(zip(bare), constants, _count(iterables), bare)
    return Calls(_rows(iterables), constants, _count(iterables))


def starmap_calls(arguments: Iterable[Sequence[Any]]) -> Calls:
    """The calls of a ``starmap``: the positional arguments of each in one tuple."""
    return Calls(map(tuple, arguments), {}, _count((arguments,)))


def _rows(iterables: Tuple[Any, ...]) -> Iterator[Tuple[Any, ...]]:
    if not any(_is_many(argument) for argument in iterables):
        raise TypeError("map needs at least one iterable (a string counts as one value)")
    return zip(*(iter(argument) if _is_many(argument) else itertools.repeat(argument) for argument in iterables))


def _count(iterables: Tuple[Any, ...]) -> Optional[int]:
    many = [argument for argument in iterables if _is_many(argument)]
    if not many or not all(hasattr(argument, "__len__") for argument in many):
        return None
    return min(len(argument) for argument in many)


def _is_many(argument: Any) -> bool:
    return isinstance(argument, Iterable) and not isinstance(argument, (str, bytes, bytearray))
