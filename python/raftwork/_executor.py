"""A ``concurrent.futures.Executor`` whose processes are the cluster's."""

import atexit
import os
import threading
import weakref
from concurrent.futures import Executor as BaseExecutor
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Set

from ._batcher import Batcher, Item
from ._chunks import chunks, run_chunk
from ._core import new_task_ids
from ._futures import TaskFuture
from ._results import forked
from ._serialize import dump_call

if TYPE_CHECKING:
    from ._client import Client


class Executor(BaseExecutor):
    """Runs calls as tasks on the cluster; use it where a ``ProcessPoolExecutor`` was.

    ``submit`` returns at once: one thread sends whatever has been submitted since its last send, as few batches. A
    future fails with ``Unavailable`` if its task could not be handed over. With ``max_workers``, at most so many calls
    of this executor are with the cluster at once; without, all are, and the cluster's slots bound what runs.

    As with the executors of the standard library, an interpreter that ends waits for every call. Unlike there, a call
    that runs can be cancelled, and nothing breaks an executor: a crash costs the call that crashed.
    """

    def __init__(self, client: "Client", max_workers: Optional[int] = None) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        self._client = client
        self._calls = _Calls(Batcher("raftwork-executor", max_workers))
        _end_at_exit(self._calls)
        # An executor that nobody holds takes no calls any more; those that it took go on.
        self._finalizer = weakref.finalize(self, self._calls.batcher.close)
        self._finalizer.atexit = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture:
        """Run ``fn(*args, **kwargs)`` on the cluster. What cannot be pickled raises here."""
        if os.getpid() != self._calls.pid:
            raise forked()
        function = self._client._function_of(fn)
        function._prepare()
        payload, references = dump_call(args, kwargs)
        future = TaskFuture(self._client, new_task_ids(1)[0])
        future._executor = self._calls
        self._calls.add(future)
        if not self._calls.batcher.put(Item(function, future._bytes, payload, future, future._sent, references)):
            self._calls.remove(future)
            when = "interpreter shutdown" if _exiting else "shutdown"
            raise RuntimeError(f"cannot schedule new futures after {when}")
        future.add_done_callback(self._calls.finished)
        return future

    def map(
        self, fn: Callable[..., Any], *iterables: Any, timeout: Optional[float] = None, chunksize: int = 1
    ) -> Iterator[Any]:
        """As the built-in ``map``, with results in order; what is left is cancelled when one raises.

        ``chunksize``: calls in one task. More save time where calls take less than the some hundred microseconds that
        a task costs; a chunk is retried, and fails, as one.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        return _flattened(super().map(run_chunk(fn), chunks(zip(*iterables), chunksize), timeout=timeout))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with ``wait``, return when every future is done, whatever became of it.

        ``cancel_futures`` cancels the calls that have not started.
        """
        self._calls.batcher.close()
        if cancel_futures:
            self._calls.cancel_unstarted()
        if wait:
            self._calls.wait()


class _Calls:
    """What an executor has under way; outlives an executor that nobody holds."""

    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher
        self.pid = os.getpid()
        self._open: Set[TaskFuture] = set()
        self._changed = threading.Condition()

    def add(self, future: TaskFuture) -> None:
        with self._changed:
            self._open.add(future)

    def remove(self, future: TaskFuture) -> None:
        with self._changed:
            self._open.discard(future)
            self._changed.notify_all()

    def finished(self, future: Any) -> None:
        if not future._unsent:
            self.batcher.ended()
        self.remove(future)

    def take_back(self, future: TaskFuture) -> bool:
        """Whether the future's call had not left this process; it never will then."""
        future._unsent = self.batcher.take_back(future._bytes)
        return future._unsent

    def cancel_unstarted(self) -> None:
        for item in self.batcher.take_back_all():
            assert isinstance(item.waiter, TaskFuture), "an executor waits with futures"
            item.waiter._unsent = True
            item.waiter._end_cancelled()
        with self._changed:
            sent = [future for future in self._open if not future.done()]
        for future in sent:
            future._cancel_unstarted()

    def wait(self) -> None:
        with self._changed:
            while self._open:
                # In steps, because a bare wait cannot be interrupted by Ctrl-C on every platform.
                self._changed.wait(3600)


_exiting = False
_all_calls: "weakref.WeakSet[_Calls]" = weakref.WeakSet()
_registered = False


def _end_at_exit(calls: _Calls) -> None:
    global _registered
    _all_calls.add(calls)
    if not _registered:
        # After the first client, whose own callback for the exit must run after this one.
        _registered = True
        atexit.register(_wait_for_all)


def _wait_for_all() -> None:
    global _exiting
    _exiting = True
    # A forked child has copies of its parent's calls, and nobody who would end them.
    everybody: List[_Calls] = [calls for calls in _all_calls if calls.pid == os.getpid()]
    for calls in everybody:
        calls.batcher.close()
    for calls in everybody:
        calls.wait()


def _flattened(results: Iterator[List[Any]]) -> Iterator[Any]:
    for chunk in results:
        chunk.reverse()
        while chunk:
            yield chunk.pop()
