"""The same work for every system: what a driver answers to a line of its standard input.

A driver is run by the Python that has the system's client library, and needs nothing else but this file.
"""

import json
import sys
import time
from abc import ABC, abstractmethod
from typing import Any, Callable, Dict, List

WARM_UP = 200


class System(ABC):
    """What a driver knows how to do with its system. The function is always ``x + 1``."""

    @abstractmethod
    def versions(self) -> Dict[str, str]:
        """Of what is driven, for the table."""

    @abstractmethod
    def run_all(self, values: List[int]) -> List[int]:
        """Submits all, returns all results, in the way that the system does it fastest."""

    @abstractmethod
    def run_one(self, value: int) -> int:
        """Submits one and waits for its result."""

    def submit_all(self, values: List[int]) -> None:
        """Submits all; returns when all are acknowledged. Nothing need be running them."""
        raise NotImplementedError


Workload = Callable[[System, int], Dict[str, Any]]


def end_to_end(system: System, size: int) -> Dict[str, Any]:
    """Submits ``size`` tasks at once and fetches all results."""
    return timed(system.run_all, size)


def timed(run_all: Callable[[List[int]], List[int]], size: int) -> Dict[str, Any]:
    """Times a way to run tasks, and checks what comes back."""
    values = list(range(size))
    began = time.perf_counter()
    results = run_all(values)
    seconds = time.perf_counter() - began
    check(results, values)
    return {"items": size, "seconds": seconds}


def latency(system: System, size: int) -> Dict[str, Any]:
    """Submits ``size`` tasks one after another, each when the result of the one before was there."""
    return {"milliseconds": [one_by_one(system.run_one, value) for value in range(size)]}


def latency_for(system: System, size: int) -> Dict[str, Any]:
    """As ``latency``, as many as there is time for in ``size`` milliseconds."""
    return repeated(system.run_one, size)


def repeated(run_one: Callable[[int], int], size: int) -> Dict[str, Any]:
    """Times single tasks for ``size`` milliseconds."""
    end = time.perf_counter() + size / 1e3
    milliseconds: List[float] = []
    while time.perf_counter() < end:
        milliseconds.append(one_by_one(run_one, len(milliseconds)))
    return {"milliseconds": milliseconds}


def one_by_one(run_one: Callable[[int], int], value: int) -> float:
    """Milliseconds that one task took."""
    began = time.perf_counter()
    result = run_one(value)
    took = time.perf_counter() - began
    check([result], [value])
    return took * 1e3


def submission(system: System, size: int) -> Dict[str, Any]:
    """Submits ``size`` tasks and waits for nothing but that they are acknowledged."""
    values = list(range(size))
    began = time.perf_counter()
    system.submit_all(values)
    return {"items": size, "seconds": time.perf_counter() - began}


def check(results: List[int], values: List[int]) -> None:
    """A system that answers wrongly is not measured."""
    if results != [value + 1 for value in values]:
        raise SystemExit(f"wrong results: {results[:5]}... for {values[:5]}...")


COMMON: Dict[str, Workload] = {
    "end_to_end": end_to_end,
    "latency": latency,
    "latency_for": latency_for,
    "submission": submission,
}


def serve(system: System, **more: Workload) -> None:
    """Warms up, says hello, then answers lines such as ``latency 500`` until the input ends."""
    workloads = {**COMMON, **more}
    try:
        check(system.run_all(list(range(WARM_UP))), list(range(WARM_UP)))
        answer(python=sys.version.split()[0], **system.versions())
        for line in sys.stdin:
            name, size = line.split()
            answer(**workloads[name](system, int(size)))
    except BaseException as error:
        answer(failed=f"{type(error).__name__}: {error}")
        raise


def answer(**fields: Any) -> None:
    """One line of JSON."""
    print(json.dumps(fields), flush=True)
