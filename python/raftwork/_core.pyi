"""The Rust part: a connection to the cluster, and the worker agent."""

from typing import List, Optional, Sequence, Tuple, Union, final

__all__ = ["Core", "LargeResult", "__version__", "new_map_id", "new_task_ids", "run_worker"]

__version__: str

_Retry = Tuple[int, int, int]
"""Attempts, first pause and longest pause in milliseconds."""

_Error = Tuple[str, str, str, str, Optional[bytes], Optional[int], Optional[int], Optional[int], Optional[int]]
"""Kind, type name, message, traceback, pickled exception, exit code, signal, memory limit, memory peak."""

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
        *,
        watch: bool = True,
        priority: Optional[int] = None,
        delay_ms: Optional[int] = None,
        retry: Optional[_Retry] = None,
        run_max_ms: Optional[int] = None,
        tags: Optional[Sequence[str]] = None,
        no_retry: Optional[Sequence[str]] = None,
        start_by_ms: Optional[int] = None,
        total_ms: Optional[int] = None,
        run_at_ms: Optional[int] = None,
        concurrency: Optional[Tuple[str, int]] = None,
        rate: Optional[Tuple[str, int, int]] = None,
    ) -> int: ...
    def map(
        self,
        function: bytes,
        id: bytes,
        packs: Sequence[Union[bytes, Tuple[bytes, bytes, int]]],
        *,
        priority: Optional[int] = None,
        delay_ms: Optional[int] = None,
        retry: Optional[_Retry] = None,
        run_max_ms: Optional[int] = None,
        tags: Optional[Sequence[str]] = None,
        no_retry: Optional[Sequence[str]] = None,
        start_by_ms: Optional[int] = None,
        total_ms: Optional[int] = None,
        run_at_ms: Optional[int] = None,
        concurrency: Optional[Tuple[str, int]] = None,
        rate: Optional[Tuple[str, int, int]] = None,
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
