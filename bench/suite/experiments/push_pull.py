"""Push beside pull: a cluster of each, both up, measured in turn.

From one cluster to the next the same work is up to a fifth faster or slower, and from one second to the next, too. A
smaller difference shows only in pairs: a second of each, again and again, each the first in every other pair.
"""

from contextlib import ExitStack
from typing import Any, Callable, Dict, List

from ..build import Binaries
from ..cluster import Shape
from ..context import Context
from ..measure import wait_until_quiet
from ..peers.raftwork import RunningRaftwork
from ..report import Report, Table, number
from ..say import say
from ..side_by_side import figures_of
from ..stats import latencies, median, ratio
from .base import Experiment
from .cost import cost_of, log_table, processor_table
from .latency import Load

_MODES = ("push", "pull")
#: Of each work.
_PAIRS = 20
_WINDOW_MS = 1_000
#: Times the usual number of tasks: two seconds of them.
_SHARE = 4.0

Figures = Dict[str, float]
#: By work, then by mode: the figures of each window.
Pairs = Dict[str, Dict[str, List[Figures]]]


def run(context: Context, binaries: Binaries) -> Report:
    """Throughput, then latency with nothing and with half of that throughput beside."""
    pairs = 2 if context.quick else _PAIRS
    tasks = context.size("end_to_end", _SHARE)
    found: Pairs = {}
    with ExitStack() as stack:
        clusters = {mode: stack.enter_context(RunningRaftwork(binaries, Shape(mode=mode), mode)) for mode in _MODES}

        def measure(work: str, window: Callable[[RunningRaftwork], Figures]) -> None:
            wait_until_quiet(context.patience)
            found[work] = in_turn(clusters, window, pairs)

        measure("map", lambda running: figures_of(running.driver.run("end_to_end", tasks)))
        measure("idle", _latency)
        rate = int(median([one["rate"] for one in found["map"]["push"]]) / 2)
        say(f"half load: {rate} tasks/s beside")
        measure("half", lambda running: _latency_beside(running, rate))
    return Report([comparison(found), processor_table(found["idle"]), log_table(found["idle"])], data=found)


def in_turn(clusters: Dict[str, Any], window: Callable[[Any], Figures], pairs: int) -> Dict[str, List[Figures]]:
    """The windows of each cluster; the order changes from pair to pair, so that neither is always the first."""
    rows: Dict[str, List[Figures]] = {name: [] for name in clusters}
    for turn in range(pairs):
        for name in list(clusters)[:: 1 if turn % 2 == 0 else -1]:
            rows[name].append(window(clusters[name]))
    return rows


def _latency(running: RunningRaftwork) -> Figures:
    """Percentiles of one task after another, and what they cost."""
    taken: List[float] = []

    def work(running: RunningRaftwork) -> int:
        taken.extend(running.driver.run("latency_for", _WINDOW_MS)["milliseconds"])
        return len(taken)

    cost = cost_of(running, work)
    return {**cost, **latencies(taken)}


def _latency_beside(running: RunningRaftwork, rate: int) -> Figures:
    with Load(running, rate):
        return figures_of(running.driver.run("latency_for", _WINDOW_MS))


_ROWS = (
    ("map, tasks/s", "map", "rate"),
    ("one at a time, idle: p50 ms", "idle", "p50_ms"),
    ("one at a time, idle: p99 ms", "idle", "p99_ms"),
    ("one at a time, half load beside: p50 ms", "half", "p50_ms"),
    ("one at a time, half load beside: p99 ms", "half", "p99_ms"),
)


def comparison(found: Pairs) -> Table:
    """Medians of the windows and of the ratios of the pairs, and how often push was the better one."""
    table = Table("Push and pull, 3 nodes, measured in turn", ("work", "push", "pull", "push / pull", "push ahead"))
    for title, work, figure in _ROWS:
        push, pull = ([one[figure] for one in found[work][mode]] for mode in _MODES)
        ratios = [ratio(ours, theirs) for ours, theirs in zip(push, pull)]
        ahead = sum(one > 1 if figure == "rate" else one < 1 for one in ratios)
        table.add(title, number(median(push)), number(median(pull)), number(median(ratios)), f"{ahead} of {len(push)}")
    table.notes.append("Medians of windows, and of the ratios of pairs. The costs below are those of the idle windows.")
    return table


EXPERIMENT = Experiment("push-pull", "push beside pull, both up and measured in turn", run)
