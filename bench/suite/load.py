"""The load generator in Rust: one more client, for what a client in Python would hold back."""

import json
from pathlib import Path
from typing import Any, Dict, List, Sequence

from .places import SCRATCH, TARGET
from .processes import Process
from .say import Failed

#: Where ``build.build_load`` puts it.
BINARY = TARGET / "load" / "release" / "raftwork-load"


def run(system: str, options: Sequence[object], in_flight: int, seconds: float, meter: Any = None) -> Dict[str, Any]:
    """Runs it once: ``rate``, ``p50_ms`` and so on. ``meter`` gets its process number as soon as it runs."""
    folder = SCRATCH / "load"
    command = [BINARY, system, *options, "--in-flight", in_flight, "--seconds", seconds]
    process = Process("load", command, folder, {"RUST_BACKTRACE": "0"}, pipes=True)
    if meter is not None:
        meter(process.pid)
    try:
        output, _ = process.child.communicate(timeout=seconds + 60)
    except BaseException:
        process.stop()
        raise
    if process.child.returncode != 0:
        raise Failed(f"{BINARY.name} {system} failed: {process.tail(6).strip()}")
    measured: Dict[str, Any] = json.loads(output)
    if measured["errors"] > measured["acked"] / 1000:
        raise Failed(f"{measured['errors']} writes failed; the first: {measured['first_error']}")
    return measured


def endpoints(ports: List[int]) -> str:
    """Base URLs of ports on this machine, as the generator takes them."""
    return ",".join(f"http://127.0.0.1:{port}" for port in ports)


def exists() -> bool:
    """Whether it was built."""
    return Path(BINARY).is_file()
