"""Delivery of ended tasks: one thread for each client passes them to whoever waits."""

import threading
import time
from typing import TYPE_CHECKING, Callable, Dict, Iterable, List, Optional

from ._outcome import Outcome

if TYPE_CHECKING:
    from ._core import Core


class Waiter:
    """Somebody who is told of an ended task."""

    __slots__ = ()

    def ended(self, outcome: Outcome) -> None:
        """Take the outcome; called once for each task, in the delivery thread, and must not block."""
        raise NotImplementedError


class Results:
    """Who waits for which task.

    Waiting threads share one condition: batches are what wakes them, so their number costs little.
    """

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._waiters: Dict[bytes, List[Waiter]] = {}
        self._condition = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._closed = False

    def expect(self, ids: Iterable[bytes], waiter: Waiter) -> List[bytes]:
        """Deliver these tasks to ``waiter`` as they end; return those that nobody had expected before."""
        with self._condition:
            if self._closed:
                raise RuntimeError("this raftwork client is closed")
            self._start()
            fresh = []
            for id in ids:
                known = self._waiters.setdefault(id, [])
                if not known:
                    fresh.append(id)
                known.append(waiter)
            return fresh

    def forget(self, ids: Iterable[bytes], waiter: Waiter) -> None:
        """Undo ``expect``: the submit was refused."""
        with self._condition:
            for id in ids:
                waiters = [other for other in self._waiters.pop(id, []) if other is not waiter]
                if waiters:
                    self._waiters[id] = waiters

    def wait_for(self, condition: Callable[[], bool], timeout: Optional[float]) -> bool:
        """Wait until ``condition()`` holds; ``False`` if it does not within ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._condition:
            while not condition():
                # In steps, because a bare wait cannot be interrupted by Ctrl-C on every platform.
                left = 3600.0 if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(left)
            return True

    def close(self) -> None:
        """End the delivery thread, and tell all who wait."""
        with self._condition:
            self._closed = True
        self._core.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)
        self._end_all()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="raftwork-results", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                batch = self._core.finished()
            except RuntimeError:
                # Closed between two batches.
                return
            if batch is None:
                return
            self._deliver([Outcome(*ended) for ended in batch])

    def _deliver(self, outcomes: List[Outcome]) -> None:
        with self._condition:
            told = [(outcome, self._waiters.pop(outcome.id, [])) for outcome in outcomes]
        for outcome, waiters in told:
            for waiter in waiters:
                waiter.ended(outcome)
        with self._condition:
            self._condition.notify_all()

    def _end_all(self) -> None:
        with self._condition:
            left = list(self._waiters)
        self._deliver([Outcome(id, "closed") for id in left])

