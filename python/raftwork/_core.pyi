"""The Rust part: a connection to the cluster, and the worker agent."""

from typing import List, Optional, Sequence, Tuple, Union, final

from ._function import TaskOptions

__all__ = ["Core", "LargeResult", "__version__", "new_map_id", "new_task_ids", "run_worker"]

__version__: str

_Retry = Tuple[int, int, int]
"""Attempts, first pause and longest pause in milliseconds."""

_Number = Optional[int]
_Error = Tuple[str, str, str, str, Optional[bytes], _Number, _Number, _Number, _Number, Optional[bytes]]
"""Kind, type name, message, traceback, pickled exception, exit code, signal, memory limit, memory peak, dependency."""

_Ended = Tuple[bytes, str, Union[bytes, "LargeResult", None], Optional[_Error]]
"""Task id, status, result, error."""

@final
class LargeResult:
    """A result that is too large to be told whole. ``read`` fetches it from the cluster, and checks it."""

    @property
    def size(self) -> int: ...
    def read(self) -> bytes: ...

@final
class Core:
    """One connection to whichever node leads. Methods release the GIL, and raise classes of ``raftwork.errors``."""

    def __new__(cls, urls: Sequence[str], patience: float) -> "Core": ...
    def register(
        self,
        name: str,
        language: str,
        code: bytes,
        *,
        python: Optional[Tuple[int, int]] = None,
        retry: Optional[_Retry] = None,
        run_max_ms: Optional[int] = None,
        retention_ms: Optional[int] = None,
    ) -> bytes: ...
    def submit(
        self,
        function: bytes,
        ids: Sequence[bytes],
        args: Sequence[bytes],
        options: Optional[TaskOptions] = None,
        *,
        watch: bool = True,
        results_of: Sequence[bytes] = ...,
    ) -> int: ...
    def map(
        self,
        function: bytes,
        id: bytes,
        packs: Sequence[Union[bytes, Tuple[bytes, bytes, int]]],
        options: Optional[TaskOptions] = None,
    ) -> int: ...
    def cancel_map(self, id: bytes) -> None: ...
    def watch(self, ids: Sequence[bytes]) -> None: ...
    def finished(self) -> Optional[List[_Ended]]: ...
    def status(self, id: bytes) -> str: ...
    def cancel(self, id: bytes) -> None: ...
    def redrive(self, id: bytes) -> bytes: ...
    def rest(self, method: str, path: str, body: Optional[bytes] = None) -> Tuple[int, bytes]: ...
    def close(self) -> None: ...

def new_map_id() -> bytes: ...
def new_task_ids(count: int) -> List[bytes]: ...
def run_worker(config: str) -> Tuple[str, bool]: ...
