"""A ``concurrent.futures.Executor`` whose processes are the cluster's."""

import threading
from collections import deque
from concurrent.futures import Executor as BaseExecutor
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, List, NamedTuple, Set, Tuple

from ._core import new_task_ids
from ._function import SUBMIT_BYTES, SUBMIT_ITEMS, Function
from ._futures import TaskFuture
from ._serialize import dump_arguments

if TYPE_CHECKING:
    from ._client import Client


class _Item(NamedTuple):
    function: Function[Any, Any]
    future: TaskFuture
    args: bytes


class Executor(BaseExecutor):
    """Runs calls as tasks on the cluster; use it where a ``ProcessPoolExecutor`` was.

    ``submit`` returns at once: one thread sends whatever has been submitted since its last send, as few batches. A
    future fails with ``Unavailable`` if its task could not be handed over.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._changed = threading.Condition()
        self._queue: Deque[_Item] = deque()
        self._open: Set[TaskFuture] = set()
        self._shutdown = False
        self._thread = threading.Thread(target=self._send_all, name="raftwork-executor", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture:
        """Run ``fn(*args, **kwargs)`` on the cluster. What cannot be pickled raises here."""
        function = self._client._function_of(fn)
        function._prepare()
        payload = dump_arguments(args, kwargs)
        future = TaskFuture(self._client, new_task_ids(1)[0])
        with self._changed:
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._queue.append(_Item(function, future, payload))
            self._open.add(future)
            self._changed.notify_all()
        future.add_done_callback(self._forget)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with ``wait``, return when every future is done, whatever became of it."""
        with self._changed:
            self._shutdown = True
            self._changed.notify_all()
            unsent = [self._queue.popleft().future for _ in range(len(self._queue))] if cancel_futures else []
        for future in unsent:
            future._accepted.set()
            future._end_cancelled()
        if cancel_futures:
            with self._changed:
                sent = list(self._open)
            for future in sent:
                future.cancel()
        if wait:
            with self._changed:
                while self._open:
                    self._changed.wait()
            self._thread.join()

    def _forget(self, future: Any) -> None:
        with self._changed:
            self._open.discard(future)
            self._changed.notify_all()

    def _send_all(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._shutdown:
                    self._changed.wait()
                if not self._queue:
                    return
                batch = self._take()
            self._send(batch)

    def _take(self) -> List[_Item]:
        """The longest run of queued items that fits into one submit: one function, bounded count and bytes."""
        first = self._queue.popleft()
        batch, size = [first], len(first.args)
        while self._queue and len(batch) < SUBMIT_ITEMS and size < SUBMIT_BYTES:
            if self._queue[0].function is not first.function:
                break
            batch.append(self._queue.popleft())
            size += len(batch[-1].args)
        return batch

    def _send(self, batch: List[_Item]) -> None:
        futures: Dict[bytes, TaskFuture] = {item.future._bytes: item.future for item in batch}
        pairs: List[Tuple[bytes, bytes]] = [(item.future._bytes, item.args) for item in batch]
        error = None
        try:
            batch[0].function._submit(pairs, futures)
        except BaseException as raised:
            # Whatever it is, it belongs to these calls; the others go on.
            error = raised
        for future in futures.values():
            future._accepted.set()
            if error is not None:
                future.settle(None, error)
