#!/usr/bin/env python3
"""How long no write is acknowledged when the leader is killed, and when it hands over.

Against a running ``raftwork dev`` cluster of three nodes or more. One client writes one small function after
another, to any node that answers; the gap is the longest pause between two acknowledgements around the fault.
Prints each gap, and the median. Absolute times: read them beside the election timeouts of ``cluster.toml``.

    raftwork dev -d -w 0 && bench/fail_over.py --kills 20 --transfers 20
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any, Callable, Dict, List, Optional

PROBE = {"name": "probe", "format": "source", "code": "def probe():\n    return 1\n"}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(url: str, body: Optional[Any] = None, timeout: float = 3.0) -> Any:
    """One request; raises OSError or ValueError when there is no good answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
    with OPENER.open(request, timeout=timeout) as answer:
        return json.loads(answer.read() or b"null")


class Writer(threading.Thread):
    """Writes without a pause and remembers when each write was acknowledged."""

    def __init__(self, urls: List[str]) -> None:
        super().__init__(daemon=True)
        self.urls = urls
        self.acks: List[float] = []
        self.done = threading.Event()

    def run(self) -> None:
        """Goes round the nodes, staying with one as long as it answers."""
        nodes = itertools.cycle(self.urls)
        url = next(nodes)
        while not self.done.is_set():
            try:
                call(f"{url}/v1/functions", PROBE)
                self.acks.append(time.monotonic())
            except (OSError, ValueError):
                url = next(nodes)

    def longest_gap(self, since: float, until: float) -> float:
        """Waits for a write acknowledged after ``until``; returns the longest pause between two since ``since``."""
        deadline = time.monotonic() + 30
        while not self.acks or self.acks[-1] <= until:
            if time.monotonic() > deadline:
                raise SystemExit("no write was acknowledged for 30 s")
            time.sleep(0.001)
        acks = [ack for ack in self.acks if ack >= since]
        return max(after - before for before, after in zip(acks, acks[1:]))


def dev(*arguments: str) -> str:
    """Runs ``raftwork dev`` and returns what it prints."""
    command = [sys.executable, "-m", "raftwork", "dev", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def cluster(urls: List[str]) -> Dict[str, Any]:
    """The cluster as its leader sees it, once every node is ready and all have the whole log."""
    while True:
        try:
            views = [call(f"{url}/v1/cluster", timeout=1.0) for url in urls]
            leaders = {view["leader"] for view in views}
            if len(leaders) == 1 and None not in leaders and all(call(f"{url}/readyz")["ready"] for url in urls):
                return next(view for view in views if view["node"] == view["leader"])
        except (OSError, ValueError):
            pass
        time.sleep(0.05)


def kill(urls: List[str], writer: Writer) -> float:
    """Kills the leader, measures, and brings it back."""
    name = f"n{cluster(urls)['leader']}"
    writer.longest_gap(0, time.monotonic() + 0.5)
    since = writer.acks[-1]
    dev("kill", name)
    gap = writer.longest_gap(since, time.monotonic())
    dev("restart", name)
    return gap


def transfer(urls: List[str], writer: Writer) -> float:
    """Has the leader hand over, and measures the longest gap of the next second."""
    leader = cluster(urls)["leader"]
    url = next(node["url"] for node in cluster(urls)["nodes"] if node["id"] == leader)
    since = writer.acks[-1]
    call(f"{url}/v1/cluster/transfer", {})
    return writer.longest_gap(since, time.monotonic() + 0.5)


def measure(name: str, times: int, once: Callable[[], float]) -> None:
    """Repeats one measurement and prints it."""
    gaps = []
    for number in range(1, times + 1):
        gaps.append(once() * 1000)
        print(f"{name} {number:3}: {gaps[-1]:7.0f} ms", flush=True)
    if gaps:
        print(f"{name}: median {statistics.median(gaps):.0f} ms, worst {max(gaps):.0f} ms, {times} times", flush=True)


def main() -> None:
    """Parses the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kill -9 of the leader (default: 20)")
    parser.add_argument("--transfers", type=int, default=20, help="planned hand-overs (default: 20)")
    arguments = parser.parse_args()
    status = json.loads(dev("status", "--json"))
    urls = status["urls"]
    writer = Writer(urls)
    writer.start()
    measure("kill", arguments.kills, lambda: kill(urls, writer))
    measure("transfer", arguments.transfers, lambda: transfer(urls, writer))
    writer.done.set()


if __name__ == "__main__":
    main()
