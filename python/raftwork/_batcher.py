"""Submits in the background: one thread sends whatever was handed over since its last send, as few batches."""

import threading
from collections import OrderedDict
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ._function import SUBMIT_BYTES, SUBMIT_ITEMS, Function
from ._results import Waiter

Sent = Callable[[Optional[BaseException]], None]


class Item(NamedTuple):
    """One call on its way to the cluster."""

    function: Function[Any, Any]
    id: bytes
    args: bytes
    waiter: Waiter
    """Is told how the task ended."""
    sent: Sent
    """Is called once, in the sending thread: with nothing once the cluster has the task, else with what went wrong."""
    references: Sequence[bytes] = ()
    """Tasks whose results are arguments."""


class Batcher:
    """The queue and its thread, which is started with the first item and ends after the last one once it is closed.

    ``most`` bounds how many tasks are with the cluster at once: ``ended`` must then be called for each that has ended.
    """

    def __init__(self, name: str, most: Optional[int] = None) -> None:
        self._name = name
        self._most = most
        self._changed = threading.Condition()
        self._queue: "OrderedDict[bytes, Item]" = OrderedDict()
        self._under_way = 0
        self._closed = False
        self._thread: Optional[threading.Thread] = None

    def put(self, item: Item) -> bool:
        """Hand an item over; ``False`` if the batcher is closed."""
        with self._changed:
            if self._closed:
                return False
            self._queue[item.id] = item
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return True

    def ended(self) -> None:
        """One task is with the cluster no longer."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def take_back(self, id: bytes) -> bool:
        """Whether the item had not been sent; it never will be then."""
        with self._changed:
            return self._queue.pop(id, None) is not None

    def take_back_all(self) -> List[Item]:
        """Take out everything that was not sent."""
        with self._changed:
            taken = list(self._queue.values())
            self._queue.clear()
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Take nothing more; what was handed over is still sent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until everything is sent, once it is closed."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._may_send() and not (self._closed and not self._queue):
                    self._changed.wait()
                if not self._queue:
                    return
                batch = self._take()
            self._send(batch)
            # Not kept while this thread waits: what the caller dropped is to be collected.
            del batch

    def _may_send(self) -> bool:
        return bool(self._queue) and (self._most is None or self._under_way < self._most)

    def _take(self) -> List[Item]:
        """The longest run of queued items that fits into one submit: one function, bounded count and bytes."""
        most = SUBMIT_ITEMS if self._most is None else min(SUBMIT_ITEMS, self._most - self._under_way)
        _, first = self._queue.popitem(last=False)
        batch, size = [first], len(first.args)
        # What a submit says of results holds for all of its tasks.
        while self._queue and len(batch) < most and size < SUBMIT_BYTES and not first.references:
            id, item = next(iter(self._queue.items()))
            # Large arguments are sent in parts, of one task alone.
            if item.function is not first.function or item.references or len(item.args) > SUBMIT_BYTES:
                break
            batch.append(self._queue.pop(id))
            size += len(item.args)
        self._under_way += len(batch)
        return batch

    def _send(self, batch: List[Item]) -> None:
        waiters: Dict[bytes, Waiter] = {item.id: item.waiter for item in batch}
        pairs: List[Tuple[bytes, bytes]] = [(item.id, item.args) for item in batch]
        error: Optional[BaseException] = None
        try:
            batch[0].function._submit(pairs, waiters, batch[0].references)
        except BaseException as raised:
            # Whatever it is, it belongs to these calls; the others go on.
            error = raised
        for item in batch:
            item.sent(error)
