"""The Rust core's interface in Python: runs tasks in this process, when and how a test says."""

import json
import queue
import threading
import uuid
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import dill

from raftwork import _references, errors
from raftwork._core import new_task_ids
from raftwork._function import TaskOptions
from raftwork._map import item_ids
from raftwork._outcome import TaskFailure
from raftwork._packs import Packs

Ended = Tuple[bytes, str, Optional[bytes], Optional[Tuple[Any, ...]]]


class FakeCore:
    """A cluster with one worker, which runs what is submitted at once unless ``hold`` is set."""

    def __init__(self) -> None:
        self.functions: Dict[bytes, Dict[str, Any]] = {}
        self.submits: List[Tuple[List[bytes], Dict[str, Any]]] = []
        self.tasks: Dict[bytes, Tuple[bytes, bytes]] = {}
        self.ends: Dict[bytes, Ended] = {}
        self.watched: Set[bytes] = set()
        self.hold = False
        self.queued: Set[bytes] = set()
        self.maps: Dict[bytes, List[bytes]] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.at_gate = False
        self.fail_next_submit: Optional[Exception] = None
        self._finished: "queue.Queue[Optional[List[Ended]]]" = queue.Queue()
        self._lock = threading.RLock()

    def register(self, name: str, language: str, code: bytes, **options: Any) -> bytes:
        """As the core."""
        id = uuid.uuid5(uuid.NAMESPACE_OID, name + code.hex()).bytes
        self.functions[id] = {"name": name, "language": language, "code": code, **options}
        return id

    def submit(
        self,
        function: bytes,
        ids: Sequence[bytes],
        args: Sequence[bytes],
        options: Optional[TaskOptions] = None,
        watch: bool = True,
        results_of: Sequence[bytes] = (),
    ) -> int:
        """As the core; waits while the gate is closed."""
        self.at_gate = True
        self.gate.wait()
        with self._lock:
            error, self.fail_next_submit = self.fail_next_submit, None
            if error is not None:
                raise error
            if function not in self.functions:
                raise errors.UnknownFunction("there is no such function")
            asked = (options or TaskOptions())._asdict()
            self.submits.append((list(ids), {**asked, "results_of": list(results_of) or None}))
            self.tasks.update({id: (function, payload) for id, payload in zip(ids, args)})
            self.watched.update(ids)
        if not self.hold:
            self.run(ids)
        return len(ids)

    def map(self, function: bytes, id: bytes, packs: Packs, options: Optional[TaskOptions] = None) -> int:
        """As the core and the server together: a numbered pack's items are its parts with their number between them."""
        with self._lock:
            args: List[bytes] = []
            for pack in packs:
                if isinstance(pack, bytes):
                    args.append(pack)
                else:
                    head, tail, count = pack
                    args += [head + number.to_bytes(4, "little") + tail for number in range(count)]
            self.maps[id] = item_ids(id, 0, len(args))
            self.tasks.update({item: (function, payload) for item, payload in zip(self.maps[id], args)})
        if not self.hold:
            self.run(self.maps[id])
        return len(args)

    def cancel_map(self, id: bytes) -> None:
        """As the core."""
        left = [item for item in self.maps[id] if item not in self.ends]
        if not left:
            raise errors.AlreadyFinished("the map has already ended")
        self.end([(item, "cancelled", None, None) for item in left])

    def run(self, ids: Sequence[bytes]) -> None:
        """Run tasks, and deliver them as one batch."""
        self.end([self._run(id) for id in ids if id not in self.ends])

    def _run(self, id: bytes) -> Ended:
        function, payload = self.tasks[id]
        call = dill.loads(self.functions[function]["code"])
        _references.resolve = lambda task: dill.loads(self.ends[task][2] or b"")
        args, kwargs = dill.loads(payload)
        try:
            return (id, "completed", dill.dumps(call(*args, **kwargs)), None)
        except Exception as error:
            failure = TaskFailure("exception", type(error).__name__, str(error), "Traceback ...", dill.dumps(error))
            return (id, "failed", None, tuple(failure))

    def end(self, ended: List[Ended]) -> None:
        """End tasks in this way."""
        with self._lock:
            self.ends.update({one[0]: one for one in ended})
            told = [one for one in ended if one[0] in self.watched]
            self.watched.difference_update(one[0] for one in told)
        if told:
            self._finished.put(told)

    def watch(self, ids: Sequence[bytes]) -> None:
        """As the core."""
        with self._lock:
            self.watched.update(ids)
            self.end([self.ends[id] for id in ids if id in self.ends])
            self.end([(id, "unknown", None, None) for id in ids if id not in self.tasks])

    def finished(self) -> Optional[List[Ended]]:
        """As the core."""
        return self._finished.get()

    def status(self, id: bytes) -> str:
        """As the core."""
        if id not in self.tasks:
            raise errors.UnknownTask("there is no such task")
        if id in self.ends:
            return self.ends[id][1]
        return "queued" if id in self.queued else "running"

    def cancel(self, id: bytes) -> None:
        """As the core."""
        if self.status(id) in ("completed", "failed"):
            raise errors.AlreadyFinished("the task has already ended")
        self.end([(id, "cancelled", None, None)])

    def redrive(self, id: bytes) -> bytes:
        """As the core."""
        if self.status(id) != "failed":
            raise errors.NotRedrivable("only a task that failed or was parked can be redriven")
        again = uuid.uuid5(uuid.NAMESPACE_OID, id.hex()).bytes
        self.tasks[again] = self.tasks[id]
        self.run([again])
        return again

    def rest(self, method: str, path: str, body: Optional[bytes] = None) -> Tuple[int, bytes]:
        """As the core; knows maps and nothing else."""
        for id, items in self.maps.items():
            if path == f"/v1/maps/{uuid.UUID(bytes=id)}":
                return 200, json.dumps({"items": len(items)}).encode()
        return 404, b'{"code": "not_found", "detail": "there is nothing here"}'

    def close(self) -> None:
        """As the core."""
        self._finished.put(None)


def some_id() -> bytes:
    """A fresh task id."""
    return new_task_ids(1)[0]
