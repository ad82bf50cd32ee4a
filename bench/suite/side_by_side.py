"""The same work on Raftwork and on its peers, in turn: A B C, A B C, so that a slow minute hits all of them."""

import shutil
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .build import Binaries
from .context import Context
from .goals import GOALS, judge
from .measure import Meter, pace, wait_until_quiet
from .peers import Peer, Running, all_peers
from .peers.base import Work
from .peers.raftwork import Raftwork
from .report import Report, Table, number
from .say import Failed, say
from .stats import Spread, latencies, median, medians, ratio

_TITLES = {
    "end_to_end": "End to end: no-op tasks submitted and results fetched, per second",
    "latency": "Latency: submit to result, one task at a time, milliseconds",
    "submission": "Submission: acknowledged submits (puts, publishes) per second; nothing runs them",
}
#: Share by which the machine's own speed may differ between rows that are compared.
_PACE_APART = 0.15
_FIGURE = {"end_to_end": "rate", "latency": "p50_ms", "submission": "rate"}


@dataclass
class Row:
    """One work of one system, over the rounds."""

    peer: Peer
    work: Work
    rounds: List[Dict[str, float]] = field(default_factory=list)

    @property
    def value(self) -> float:
        """Median of the figure that counts."""
        return self.spread.median

    @property
    def spread(self) -> Spread:
        """Of the figure that counts."""
        return Spread.of([one[_FIGURE[self.work.kind]] for one in self.rounds])


@dataclass
class Comparison:
    """Everything that was measured."""

    rows: Dict[Tuple[str, str, str], Row] = field(default_factory=dict)
    versions: Dict[str, Dict[str, str]] = field(default_factory=dict)
    failures: Dict[str, str] = field(default_factory=dict)

    def row(self, peer: Peer, work: Work) -> Row:
        """The row of a work, made if need be."""
        return self.rows.setdefault((peer.name, work.kind, work.workload), Row(peer, work))

    def of(self, kind: str) -> List[Row]:
        """The rows of one table that have figures."""
        return [row for row in self.rows.values() if row.work.kind == kind and row.rounds]

    def value(self, peer: str, kind: str, workload: str) -> Optional[float]:
        """A median, if it was measured; of several ways to do the same the best one where none is named."""
        rows = [row for row in self.of(kind) if row.peer.name == peer and workload in ("", row.work.workload)]
        best = min if kind == "latency" else max
        return best((row.value for row in rows), default=None)


def chosen(names: Sequence[str]) -> List[Peer]:
    """Peers by name; ``celery`` means ``celery-always``, too."""
    peers = all_peers()
    unknown = [name for name in names if not any(_means(name, peer) for peer in peers)]
    if unknown:
        known = ", ".join(peer.name for peer in peers)
        raise Failed(f"there is no peer {', '.join(unknown)}; there are {known}")
    return [peer for peer in peers if not names or any(_means(name, peer) for name in names)]


def _means(name: str, peer: Peer) -> bool:
    return peer.name == name or peer.name.startswith(name + "-")


def run(context: Context, binaries: Binaries, names: Sequence[str], kinds: Sequence[str]) -> Report:
    """Measures ourselves and the chosen peers."""
    found = Comparison()
    peers: List[Peer] = [Raftwork(binaries), Raftwork(binaries, nodes=1), *chosen(names)]
    for peer in peers:
        _try(found, peer, "cannot be installed", peer.install)
    for round_number in range(1, context.rounds + 1):
        for peer in peers:
            if peer.name not in found.failures:
                say(f"round {round_number} of {context.rounds}: {peer.title}")
                _try(found, peer, "failed", lambda peer=peer: _round(context, found, peer, kinds))
    return _report(found, kinds)


def _try(found: Comparison, peer: Peer, what: str, action: Any) -> None:
    """A peer that cannot be had or breaks is a line in the table, not the end."""
    try:
        action()
    except (Failed, OSError) as error:
        say(f"{peer.title} {what}: {error}")
        found.failures[peer.name] = f"{what}: {' '.join(str(error).split())[:200]}"


def _round(context: Context, found: Comparison, peer: Peer, kinds: Sequence[str]) -> None:
    works = [work for work in peer.works if work.kind in kinds]
    if not works:
        return
    shutil.rmtree(peer.folder, ignore_errors=True)
    running = peer.start()
    try:
        found.versions[peer.name] = running.versions
        for work in works:
            found.row(peer, work).rounds.append(measure(context, running, work))
    finally:
        running.stop()
        shutil.rmtree(peer.folder, ignore_errors=True)


def measure(context: Context, running: Running, work: Work) -> Dict[str, float]:
    """Does one work on a quiet machine; what it took, and what the processors did meanwhile."""
    wait_until_quiet(context.patience)
    before = pace()
    size = context.size(work.kind, work.share, work.generator)
    with Meter(running.components()) as usage:
        answer = running.run(work, size)
    figures = figures_of(answer)
    figures["other_cores"] = usage.other_cores
    figures["pace"] = (before + pace()) / 2
    items = answer.get("items") or len(answer.get("milliseconds", ()))
    if items:
        figures.update({f"cpu_us_{name}": value for name, value in usage.per_item(items).items()})
    return figures


def figures_of(answer: Dict[str, Any]) -> Dict[str, float]:
    """Rates and percentiles of what a client or the load generator says."""
    if "milliseconds" in answer:
        return latencies(answer["milliseconds"])
    if "items" in answer:
        return {"rate": answer["items"] / answer["seconds"]}
    return {name: float(value) for name, value in answer.items() if isinstance(value, (int, float))}


def _report(found: Comparison, kinds: Sequence[str]) -> Report:
    tables = [_table(found, kind) for kind in kinds if found.of(kind)]
    goals = Table("Goals", ("goal", "ours", "theirs", "ratio", "wanted", ""))
    for judged in (judge(goal, found.value) for goal in GOALS if goal.kind in kinds):
        if judged is not None:
            goals.add(*judged)
    if goals.rows:
        tables.append(goals)
    tables.append(_versions(found))
    rows = [
        {"peer": row.peer.name, "flushed": row.peer.flushed, "copies": row.peer.copies, **asdict(row.work)}
        | {"rounds": row.rounds, "median": medians(row.rounds)}
        for row in found.rows.values()
        if row.rounds
    ]
    return Report(tables, data={"rows": rows, "versions": found.versions, "failures": found.failures})


def _table(found: Comparison, kind: str) -> Table:
    rows = found.of(kind)
    ours = found.value("raftwork", kind, "")
    is_latency = kind == "latency"
    figures = ("p50", "p99", "p99.9") if is_latency else ("median", "least - most")
    table = Table(_TITLES[kind], ("system", "how", "flushed", "copies", *figures, "Raftwork is", "CPU us/task"))
    for row in sorted(rows, key=lambda row: row.value, reverse=not is_latency):
        spread = row.spread
        middle = medians(row.rounds)
        shown = (
            [number(middle[name]) for name in ("p50_ms", "p99_ms", "p99_9_ms")]
            if is_latency
            else [number(spread.median), f"{number(spread.least)} - {number(spread.most)}"]
        )
        times = f"{number(ratio(ours, row.value))}x" if ours else "-"
        peer = row.peer
        table.add(_marked(row), row.work.how, peer.flushed, peer.copies, *shown, times, _cpu(middle))
    if any(_was_disturbed(row) for row in rows):
        table.notes.append("(*) others used more than 0.1 core of the machine in at least one round")
    table.notes += _pace_notes(rows)
    return table


def _pace_notes(rows: Sequence[Row]) -> List[str]:
    """Which rows were measured while the machine itself was faster or slower than usual."""
    paces = [(row, median([one["pace"] for one in row.rounds])) for row in rows]
    usual = median([value for _, value in paces])
    apart = [(row, value / usual) for row, value in paces if abs(value / usual - 1) > _PACE_APART]
    return [
        f"Machine at {share:.2f} of its usual speed for: {row.peer.title}, {row.work.how or row.work.kind}"
        for row, share in apart
    ]


def _cpu(figures: Dict[str, float]) -> str:
    parts = [value for name, value in figures.items() if name.startswith("cpu_us_")]
    return number(sum(parts)) if parts else "-"


def _marked(row: Row) -> str:
    return f"{row.peer.title} (*)" if _was_disturbed(row) else row.peer.title


def _was_disturbed(row: Row) -> bool:
    return any(one.get("other_cores", 0.0) > 0.1 for one in row.rounds)


def _versions(found: Comparison) -> Table:
    table = Table("Versions", ("system", "what was measured"))
    for name, versions in found.versions.items():
        table.add(name, ", ".join(f"{what} {version}" for what, version in versions.items()))
    for name, failure in found.failures.items():
        table.add(name, failure)
    return table
