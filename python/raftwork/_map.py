"""One function over many arguments: a window of tasks that moves along the input."""

import time
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

from ._core import new_task_ids
from ._handle import Handle
from ._outcome import Outcome
from ._progress import DRAW_EVERY, Bar
from ._results import Waiter
from ._serialize import dump_arguments
from .errors import AlreadyFinished

if TYPE_CHECKING:
    from ._function import Function

R = TypeVar("R")
Call = Tuple[Tuple[Any, ...], Dict[str, Any]]

#: Size of the first submit, so that workers begin at once; it doubles from there.
FIRST_SUBMIT = 64
#: Submits that a full window is made of, at least.
WINDOW_PARTS = 4


class Calls(NamedTuple):
    """What a ``map`` is to call."""

    each: Iterator[Call]
    total: Optional[int]
    """How many there are, if the input knows that."""


class MapResults(Waiter, Generic[R]):
    """Iterator over the results of a ``map``.

    An exception of one task is raised in its place, and iterating further gives the results after it.
    """

    def __init__(self, function: "Function[Any, R]", calls: Calls) -> None:
        self._function = function
        self._calls = calls.each
        self._options = function._map_options
        if self._options.in_flight < 1:
            raise ValueError(f"in_flight = {self._options.in_flight}; at least one task must be under way")
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
        self._fill()

    @property
    def submitted(self) -> int:
        """Tasks submitted so far."""
        return self._submitted

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
        """Whether ``next`` would neither wait nor submit."""
        if not self._exhausted and self._size() is not None:
            return False
        if self._options.ordered:
            return not self._order or self._order[0] in self._outcomes
        return not self._open or bool(self._arrivals)

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        return f"<div><b>map</b> {self.finished} of {self.submitted} submitted tasks have ended</div>"

    def cancel(self) -> None:
        """Submit nothing more, and cancel what has not ended; the results of cancelled tasks raise."""
        self._exhausted = True
        for id in [*self._order, *self._open]:
            if id not in self._outcomes:
                try:
                    self._function._client._core.cancel(id)
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

        results = self._function._client._results
        begun = time.monotonic()
        while not results.wait_for(condition, _follow.PATIENCE if self._bar is None else DRAW_EVERY):
            if self._bar is not None:
                self._bar.show(self._taken, self._failed)
            if not self._told and time.monotonic() - begun >= _follow.PATIENCE:
                self._told = True
                _follow.say_why_waiting(Handle(self._function._client, self._oldest(), watched=True))

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
        from ._function import SUBMIT_BYTES, SUBMIT_ITEMS

        payloads: List[bytes] = []
        size = 0
        while len(payloads) < most and size < SUBMIT_BYTES:
            call = next(self._calls, None)
            if call is None:
                self._exhausted = True
                break
            payloads.append(dump_arguments(*call))
            size += len(payloads[-1])
        if payloads:
            ids = new_task_ids(len(payloads))
            self._function._submit(list(zip(ids, payloads)), self)
            if self._options.ordered:
                self._order.extend(ids)
            else:
                self._open.update(dict.fromkeys(ids))
            self._submitted += len(ids)
        self._submit_items = min(2 * self._submit_items, SUBMIT_ITEMS)


def map_calls(iterables: Tuple[Any, ...], constants: Dict[str, Any]) -> Calls:
    """The calls of a ``map``: iterables side by side, everything else repeated."""
    return Calls(_zip_arguments(iterables, constants), _count(iterables))


def starmap_calls(arguments: Iterable[Sequence[Any]]) -> Calls:
    """The calls of a ``starmap``: the positional arguments of each in one tuple."""
    return Calls(((tuple(args), {}) for args in arguments), _count((arguments,)))


def _zip_arguments(iterables: Tuple[Any, ...], constants: Dict[str, Any]) -> Iterator[Call]:
    sources = [_iterate(argument) for argument in iterables]
    if all(source is None for source in sources):
        raise TypeError("map needs at least one iterable (a string counts as one value)")

    def calls() -> Iterator[Call]:
        while True:
            row = []
            for source, constant in zip(sources, iterables):
                try:
                    row.append(constant if source is None else next(source))
                except StopIteration:
                    return
            yield tuple(row), constants

    return calls()


def _iterate(argument: Any) -> Optional[Iterator[Any]]:
    """An iterator over what is many values; ``None`` for what is one."""
    return iter(argument) if _is_many(argument) else None


def _count(iterables: Tuple[Any, ...]) -> Optional[int]:
    many = [argument for argument in iterables if _is_many(argument)]
    if not many or not all(hasattr(argument, "__len__") for argument in many):
        return None
    return min(len(argument) for argument in many)


def _is_many(argument: Any) -> bool:
    return isinstance(argument, Iterable) and not isinstance(argument, (str, bytes, bytearray))
