"""Handles in the order in which their tasks end."""

import time
from collections import deque
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional

from ._handle import Handle
from ._outcome import Outcome
from ._results import Waiter

if TYPE_CHECKING:
    from ._client import Client


class Arrivals(Waiter):
    """Collects outcomes of tasks as they come; ``tell`` is called, in the delivery thread, when some have."""

    def __init__(self, tell: Optional[Callable[[], None]] = None) -> None:
        self.outcomes: Deque[Outcome] = deque()
        self._tell = tell

    def ended(self, outcome: Outcome) -> None:
        """Take an outcome; for the delivery thread."""
        self.ended_together([outcome])

    def ended_together(self, outcomes: List[Outcome]) -> None:
        """Take outcomes; for the delivery thread."""
        self.outcomes.extend(outcomes)
        if self._tell is not None:
            self._tell()


def as_completed(client: "Client", handles: Iterable[Handle[Any]], timeout: Optional[float]) -> Iterator[Handle[Any]]:
    """See ``Client.as_completed``."""
    deadline = None if timeout is None else time.monotonic() + timeout
    left: Dict[bytes, Handle[Any]] = {handle._bytes: handle for handle in handles}
    total = len(left)
    for handle in [handle for handle in left.values() if handle.done()]:
        yield left.pop(handle._bytes)
    arrivals = Arrivals()
    expected = list(left)
    if expected:
        client._expect(expected, arrivals)
    try:
        while left:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not arrivals.outcomes and not client._results.wait_for(lambda: bool(arrivals.outcomes), wait):
                raise FutureTimeoutError(f"{len(left)} (of {total}) tasks have not ended after {timeout} s; they go on")
            outcome = arrivals.outcomes.popleft()
            handle = left.pop(outcome.id)
            handle.ended(outcome)
            yield handle
    finally:
        client._results.forget(list(left), arrivals)
