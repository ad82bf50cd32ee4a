"""How long no write is acknowledged when the leader is killed, and when it hands over.

One client writes one small function after another, to any node that answers; the gap is the longest pause between two
acknowledgements around the fault. Absolute times: read them beside the election timeouts of the configuration.
"""

import itertools
import json
import re
import threading
import time
from typing import Callable, Dict, List

from ..build import Binaries
from ..cluster import Cluster
from ..context import Context
from ..places import ROOT
from ..processes import fetch
from ..report import Report, Table, number
from ..say import Failed, say
from ..stats import latencies
from .base import Experiment

_PROBE = json.dumps({"name": "probe", "format": "source", "code": "def probe():\n    return 1\n"}).encode()
#: Has a table of all settings and their defaults.
_SETTINGS = ROOT / "docs" / "operations.md"
#: Longest that writes may fail before it is no gap but an outage.
_OUTAGE = 30.0


class Writer(threading.Thread):
    """Writes without a pause and remembers when each write was acknowledged."""

    def __init__(self, urls: List[str]) -> None:
        super().__init__(daemon=True)
        self._urls = urls
        self.acks: List[float] = []
        self.done = threading.Event()

    def run(self) -> None:
        """Goes round the nodes, staying with one as long as it answers."""
        nodes = itertools.cycle(self._urls)
        url = next(nodes)
        while not self.done.is_set():
            try:
                fetch(f"{url}/v1/functions", _PROBE, timeout=3.0)
                self.acks.append(time.monotonic())
            except (OSError, ValueError):
                url = next(nodes)

    def longest_gap(self, since: float, until: float) -> float:
        """Waits for a write acknowledged after ``until``; returns the longest pause between two since ``since``."""
        deadline = time.monotonic() + _OUTAGE
        while not self.acks or self.acks[-1] <= until:
            if time.monotonic() > deadline:
                raise Failed(f"no write was acknowledged for {_OUTAGE:.0f} s")
            time.sleep(0.001)
        acks = [ack for ack in self.acks if ack >= since]
        return max((after - before for before, after in zip(acks, acks[1:])), default=0.0)


def run(context: Context, binaries: Binaries) -> Report:
    """Kills, then hand-overs, on one cluster."""
    with Cluster(binaries) as cluster:
        writer = Writer(cluster.urls)
        writer.start()
        try:
            gaps = {
                "kill -9 of the leader": _repeat("kill", context.kills, lambda: _kill(cluster, writer)),
                "planned hand-over": _repeat("hand-over", context.transfers, lambda: _transfer(cluster, writer)),
            }
        finally:
            writer.done.set()
            writer.join()
    columns = ("fault", "p50", "p99", "worst", "times")
    table = Table("Fail-over: longest pause between two acknowledged writes, ms", columns)
    for name, found in gaps.items():
        if found:
            ranks = latencies(found)
            table.add(name, *(number(ranks[f"{rank}_ms"]) for rank in ("p50", "p99", "max")), len(found))
    table.notes.append(f"Configured, as shipped: {_timeouts(_SETTINGS.read_text())}.")
    return Report([table], data=gaps)


def _timeouts(settings: str) -> str:
    """The spans among the defaults of ``[raft]`` and ``[worker]``, in the table that operators have of them."""
    rows = re.findall(r"^\| `(\[(?:raft|worker)\] [a-z_, ]+)` \| ([^|]*\d(?:ms|s)`) \|", settings, re.MULTILINE)
    return "; ".join(f"{names} {spans}" for names, spans in rows).replace("`", "")


def _repeat(name: str, times: int, once: Callable[[], float]) -> List[float]:
    gaps = []
    for number_ in range(1, times + 1):
        gaps.append(once() * 1e3)
        say(f"{name} {number_}: {gaps[-1]:.0f} ms")
    return gaps


def _kill(cluster: Cluster, writer: Writer) -> float:
    """Kills the leader, measures, and brings it back."""
    leader = _settled(cluster)
    writer.longest_gap(0, time.monotonic() + 0.5)
    since = writer.acks[-1]
    node = cluster.node(leader)
    node.kill()
    gap = writer.longest_gap(since, time.monotonic())
    node.start()
    return gap


def _transfer(cluster: Cluster, writer: Writer) -> float:
    """Has the leader hand over, and measures the longest gap of the time around it."""
    leader = _settled(cluster)
    since = writer.acks[-1]
    fetch(f"{cluster.urls[leader - 1]}/v1/cluster/transfer", b"{}")
    return writer.longest_gap(since, time.monotonic() + 0.5)


def _settled(cluster: Cluster) -> int:
    """The leader, once every node is ready and knows it."""
    cluster.wait_until_ready()
    agreed: Dict[str, int] = {}

    def all_agree() -> bool:
        try:
            leaders = {json.loads(fetch(f"{url}/v1/cluster", timeout=1.0))["leader"] for url in cluster.urls}
        except (OSError, ValueError):
            return False
        if len(leaders) == 1 and None not in leaders:
            agreed["leader"] = int(leaders.pop())
        return bool(agreed)

    cluster.group.wait_for("all nodes to know the leader", all_agree)
    return agreed["leader"]


EXPERIMENT = Experiment(
    "fail-over", "pause of writes when the leader is killed or hands over (--kills, --transfers)", run
)
