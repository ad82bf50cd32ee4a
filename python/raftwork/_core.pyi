"""The Rust part: a connection to the cluster, and the worker agent."""

from typing import List, Optional, Sequence, Tuple

__version__: str

Retry = Tuple[int, int, int]
"""Attempts, first pause and longest pause in milliseconds."""

Error = Tuple[str, str, str, str, Optional[bytes], Optional[int], Optional[int], Optional[int], Optional[int]]
"""Kind, type name, message, traceback, pickled exception, exit code, signal, memory limit, memory peak."""

Ended = Tuple[bytes, str, Optional[bytes], Optional[Error]]
"""Task id, status, result, error."""

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
        retry: Optional[Retry] = None,
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
        retry: Optional[Retry] = None,
        run_max_ms: Optional[int] = None,
    ) -> int: ...
    def watch(self, ids: Sequence[bytes]) -> None: ...
    def finished(self) -> Optional[List[Ended]]: ...
    def status(self, id: bytes) -> str: ...
    def cancel(self, id: bytes) -> None: ...
    def rest(self, method: str, path: str, body: Optional[bytes] = None) -> Tuple[int, bytes]: ...
    def close(self) -> None: ...

def new_task_ids(count: int) -> List[bytes]: ...
def run_worker(config: str) -> Tuple[str, bool]: ...
