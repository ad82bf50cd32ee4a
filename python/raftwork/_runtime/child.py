"""A child: takes functions and tasks from the agent, one at a time, and answers each.

User code runs in the main thread, because only there can a signal interrupt it.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from typing import Any

from raftwork._context import TaskCancelled, TaskTimeout, _set_current, _set_report
from raftwork._runtime import frames, payloads, process
from raftwork._runtime.functions import Function, FunctionTable, LoadFailure, load
from raftwork._runtime.given import Given
from raftwork._runtime.progress import Progress

#: Error kinds of an ERROR frame; must agree with ``worker/src/python/frame.rs``.
EXCEPTION, UNPICKLABLE_RESULT, LOAD_ERROR, RESULT_TOO_LARGE, INTERRUPTED = range(5)

#: Memory is not looked at after shorter tasks, in nanoseconds: looking takes 1 us.
_PEAK_AFTER_NS = 1_000_000

_TIMEOUT_TEXT = "the task ran longer than its timeout"


class Child:
    """The loop of one child process."""

    def __init__(self, channel: frames.Channel, max_result: int) -> None:
        self._channel = channel
        self._functions = FunctionTable()
        self._given = Given()
        self._max_result = max_result
        self._pid = os.getpid()
        self._progress = Progress(channel)
        _set_report(self._progress.report)
        self._stdout, self._stderr = sys.stdout, sys.stderr
        # A descriptor, because fchdir costs a third of chdir.
        self._folder = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
        # True exactly while user code runs: only then may a signal raise.
        self._running = False
        # The timeout came before user code had begun. Never stale: the agent gives no other task to a
        # child that it has signalled.
        self._timed_out = False
        self._handlers = process.Handlers(self._on_timeout, self._on_terminate)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._handlers.install()

    def serve(self) -> None:
        """Answer frames until the agent says goodbye or goes away."""
        while True:
            try:
                kind, flags, header, payload = self._channel.read()
            except (EOFError, ConnectionError):
                return
            if kind == frames.RUN:
                self._run(flags, header, payload)
            elif kind == frames.FUNC:
                self._add(header, payload)
            elif kind == frames.GIVEN:
                self._given.add(header, payload.decode("ascii") if flags & frames.NO_RESULT else payload)
            elif kind == frames.PING:
                self._channel.write(frames.PING)
            elif kind == frames.EXIT:
                return
            else:
                raise ValueError(f"unknown frame kind {kind}")

    def _add(self, header: bytes, code: bytes) -> None:
        key, kind = frames.FUNC_HEADER.unpack_from(header)
        name = header[frames.FUNC_HEADER.size :].decode("utf-8")
        self._functions.add(Function(key, kind, name, code))

    def _run(self, flags: int, header: bytes, payload: bytes) -> None:
        key, token, attempt = frames.RUN_HEADER.unpack_from(header)
        task_id = header[frames.RUN_HEADER.size :]
        if flags & frames.WANT_STARTED:
            self._channel.write(frames.STARTED)
        self._prepare()
        function = self._functions.enter(key)
        _set_current((task_id, token, attempt))
        self._progress.begin(token)
        start = time.perf_counter_ns()
        result, error = self._call(function, payload)
        # Those of a task that ended before it loaded its arguments.
        self._given.clear()
        elapsed = time.perf_counter_ns() - start
        if os.getpid() != self._pid:
            # User code forked and returned in the copy; only the original may answer.
            os._exit(0)
        _set_current(None)
        self._progress.end()
        failure = None if error is None else (_error_kind(error), *payloads.describe(error), error)
        process.flush_streams(self._stdout, self._stderr)
        leftovers = frames.LEFTOVERS if process.left_processes() or self._functions.is_spent() else 0
        peak = self._peak(elapsed)
        if failure is None:
            self._channel.write(frames.RESULT, leftovers, frames.RESULT_HEADER.pack(elapsed, peak), result)
        else:
            self._answer_error(leftovers, elapsed, peak, *failure)

    def _peak(self, elapsed: int) -> int:
        """The highest resident size of this process in KiB; asked for after tasks that had time to use memory."""
        if elapsed >= _PEAK_AFTER_NS:
            self._peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return self._peak_kib

    def _answer_error(
        self,
        flags: int,
        elapsed: int,
        peak: int,
        kind: int,
        name: str,
        message: str,
        trace: str,
        error: BaseException,
    ) -> None:
        bases = "\n".join(payloads.bases_of(error))
        texts = [text.encode("utf-8", "backslashreplace") for text in (name, message, trace, bases)]
        header = frames.ERROR_HEADER.pack(elapsed, peak, kind, *map(len, texts))
        exception = payloads.dump_exception(error, name, message, trace)
        if len(exception) > self._max_result:
            exception = b""
        self._channel.write(frames.ERROR, flags, header, b"".join(texts) + exception)

    def _prepare(self) -> None:
        """Undo what an earlier task may have changed about this process."""
        if self._stdout.closed:
            self._stdout = process.text_stream(1)
        if self._stderr.closed:
            self._stderr = process.text_stream(2)
        sys.stdout, sys.stderr = self._stdout, self._stderr
        self._handlers.install()
        try:
            os.fchdir(self._folder)
        except OSError:
            # User code closed the descriptor; tasks then start where the last one ended.
            pass

    def _call(self, function: Function, payload: bytes) -> tuple[bytes, BaseException | None]:
        """Load, call and encode; exactly this part may be interrupted."""
        try:
            self._running = True
            try:
                if self._timed_out:
                    raise TaskTimeout(_TIMEOUT_TEXT)
                return self._evaluate(function, payload), None
            finally:
                self._running = False
        except BaseException as error:  # noqa: BLE001
            # SystemExit and KeyboardInterrupt too: they end the task, not the child.
            return b"", error

    def _evaluate(self, function: Function, payload: bytes) -> bytes:
        call = load(function)
        args, kwargs = self._given.load(payload, function.is_source)
        value = call(*args, **kwargs)
        if hasattr(type(value), "__await__"):
            value = self._await(value)
        result = payloads.dump_json_result(value) if function.is_source else payloads.dump_pickled_result(value)
        if len(result) > self._max_result:
            raise payloads.ResultTooLarge(
                f"the encoded result has {len(result)} bytes; this worker sends at most {self._max_result}"
            )
        return result

    def _await(self, value: Any) -> Any:
        """Run an awaitable to its end on the child's event loop, and leave nothing running there."""
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            result = loop.run_until_complete(_completion(value))
            _cancel_all(loop)
        except BaseException:
            # After an interruption the loop's inner state is unknown: the next task gets a new one.
            self._loop = None
            raise
        return result

    def _on_timeout(self, _signal: int, _frame: Any) -> None:
        if os.getpid() != self._pid:
            return
        self._timed_out = True
        if self._running:
            raise TaskTimeout(_TIMEOUT_TEXT)

    def _on_terminate(self, _signal: int, _frame: Any) -> None:
        if not self._running or os.getpid() != self._pid:
            # Nothing to clean up: an idle child, or a forked copy that inherited this handler.
            os._exit(128 + signal.SIGTERM)
        raise TaskCancelled("the task was cancelled")


async def _completion(value: Any) -> Any:
    return await value


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    if tasks:
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


def _error_kind(error: BaseException) -> int:
    if isinstance(error, (TaskTimeout, TaskCancelled)):
        return INTERRUPTED
    if isinstance(error, LoadFailure):
        return LOAD_ERROR
    if isinstance(error, payloads.ResultFailure):
        return UNPICKLABLE_RESULT
    if isinstance(error, payloads.ResultTooLarge):
        return RESULT_TOO_LARGE
    return EXCEPTION


def child_main(parent: int, max_result: int) -> None:
    """Run a child in this process, with its descriptors in place; never returns."""
    status = 70
    try:
        process.become_child(parent)
        channel = frames.Channel(process.COMMANDS_FD, process.ANSWERS_FD)
        Child(channel, max_result).serve()
        status = 0
    except BaseException:  # noqa: BLE001 - nothing above could report it
        sys.excepthook(*sys.exc_info())
    process.flush_streams(sys.stdout, sys.stderr)
    # Not sys.exit: nothing that a task registered with atexit may hold up a child.
    os._exit(status)


def exec_main(config: str, parent: str) -> None:
    """Entry point of a child that was executed, because its zygote has threads and cannot fork."""
    settings = process.Config.parse(config)
    process.add_paths(settings.paths)
    child_main(int(parent), settings.max_result)
