"""Results of other tasks, put in the place of the references to them while arguments are loaded."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

from raftwork import _references
from raftwork._context import TaskCancelled, TaskTimeout
from raftwork._runtime import payloads
from raftwork._runtime.functions import LoadFailure, explain

#: How a result is referred to in JSON: an object with this key alone.
RESULT_OF = "$result_of"


class Given:
    """What came with a task: by task id, the result of another one, or the word for how that ended without one."""

    def __init__(self) -> None:
        self._results: dict[bytes, bytes | str] = {}

    def add(self, task: bytes, result: bytes | str) -> None:
        """Keep a result until the next task has loaded its arguments."""
        self._results[task] = result

    def load(self, payload: bytes, is_json: bool) -> payloads.Arguments:
        """Decode arguments with the results in place, and forget them. Raises ``LoadFailure``, naming the task."""
        if not self._results:
            return payloads.load_json_arguments(payload) if is_json else payloads.load_pickled_arguments(payload)
        try:
            if is_json:
                return payloads.load_json_arguments(payload, self._in_json)
            with self._in_pickles():
                return payloads.load_pickled_arguments(payload)
        finally:
            self.clear()

    def clear(self) -> None:
        """Forget what came."""
        if self._results:
            self._results = {}

    @contextlib.contextmanager
    def _in_pickles(self) -> Iterator[None]:
        _references.resolve = self._result_of
        try:
            yield
        finally:
            _references.resolve = _references.nowhere

    def _in_json(self, value: dict[str, Any]) -> Any:
        if value.keys() != {RESULT_OF}:
            return value
        try:
            return self._result_of(uuid.UUID(value[RESULT_OF]).bytes)
        except (ValueError, TypeError, AttributeError):
            raise LoadFailure(f"{RESULT_OF} names a task by its id, and {value[RESULT_OF]!r} is none") from None

    def _result_of(self, task: bytes) -> Any:
        name = uuid.UUID(bytes=task)
        result = self._results.get(task)
        if result is None:
            raise LoadFailure(f"the result of task {name} is not among those that the submit asked for in results_of")
        if isinstance(result, str):
            how = "failed" if result == "failed" else f"was {result}"
            raise LoadFailure(f"task {name}, whose result is an argument, {how}")
        try:
            # Every pickle of protocol 2 or newer begins with this opcode, and no JSON does.
            return payloads.loads(result) if result[:1] == b"\x80" else json.loads(result)
        except (TaskTimeout, TaskCancelled):
            raise
        except BaseException as error:
            raise LoadFailure(explain(f"the result of task {name}, which is an argument,", error)) from error
