"""Delivery of ended tasks: one thread for each client passes them to whoever waits."""

import os
import threading
import time
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence, Tuple

from ._outcome import Outcome

if TYPE_CHECKING:
    from ._core import Core


class Waiter:
    """Somebody who is told of an ended task."""

    __slots__ = ()

    def ended(self, outcome: Outcome) -> None:
        """Take the outcome; called once for each task, in the delivery thread, and must not block."""
        raise NotImplementedError

    def ended_together(self, outcomes: List[Outcome]) -> None:
        """Take several at once, in the order in which they arrived."""
        for outcome in outcomes:
            self.ended(outcome)


def forked() -> RuntimeError:
    """What is raised in a process that has only a copy of the client."""
    return RuntimeError(
        "this raftwork client was made before a fork and does not work in the child process; "
        "make a new Client there, or start processes with the 'spawn' method"
    )


class Results:
    """Who waits for which task.

    Waiting threads share one condition: batches are what wakes them, so their number costs little.
    """

    def __init__(self, core: "Core") -> None:
        self._core = core
        # Threads do not survive a fork, and locks may have been copied while they were held.
        self._pid = os.getpid()
        # Tasks that were submitted together share one tuple.
        self._waiters: Dict[bytes, Tuple[Waiter, ...]] = {}
        self._condition = threading.Condition()
        self._thread: Optional[threading.Thread] = None
        self._closed = False

    def expect(self, ids: Sequence[bytes], waiter: Waiter) -> List[bytes]:
        """Deliver these tasks to ``waiter`` as they end; return those that nobody had expected before."""
        self._check_process()
        with self._condition:
            if self._closed:
                raise RuntimeError("this raftwork client is closed")
            self._start()
            known, alone = self._waiters, (waiter,)
            fresh = [id for id in ids if id not in known]
            if len(fresh) < len(ids):
                known.update({id: known[id] + alone for id in ids if id in known})
            known.update(dict.fromkeys(fresh, alone))
            return fresh

    def forget(self, ids: Sequence[bytes], waiter: Waiter) -> None:
        """Undo ``expect``: the submit was refused."""
        with self._condition:
            for id in ids:
                waiters = tuple(other for other in self._waiters.pop(id, ()) if other is not waiter)
                if waiters:
                    self._waiters[id] = waiters

    def wait_for(self, condition: Callable[[], bool], timeout: Optional[float]) -> bool:
        """Wait until ``condition()`` holds; ``False`` if it does not within ``timeout`` seconds."""
        self._check_process()
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
        """End the delivery thread, and tell all who wait. In a forked copy of this process, nothing."""
        if os.getpid() != self._pid:
            return
        with self._condition:
            self._closed = True
        self._core.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)
        self._end_all()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise forked()

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
            self._deliver([Outcome._make(ended) for ended in batch])

    def _deliver(self, outcomes: List[Outcome]) -> None:
        told: List[Tuple[Waiter, List[Outcome]]] = []
        with self._condition:
            for outcome in outcomes:
                for waiter in self._waiters.pop(outcome[0], ()):
                    if told and told[-1][0] is waiter:
                        told[-1][1].append(outcome)
                    else:
                        told.append((waiter, [outcome]))
        for waiter, together in told:
            waiter.ended_together(together)
        with self._condition:
            self._condition.notify_all()

    def _end_all(self) -> None:
        with self._condition:
            left = list(self._waiters)
        self._deliver([Outcome(id, "closed") for id in left])
