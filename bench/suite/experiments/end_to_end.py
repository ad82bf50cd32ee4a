"""No-op tasks through the Python client: ways to submit, sizes, modes, slots, nodes."""

from typing import Dict, List, Tuple

from ..build import Binaries
from ..cluster import Shape
from ..context import Context
from ..peers.base import Work
from ..peers.raftwork import RunningRaftwork
from ..report import Report, Table, number
from ..side_by_side import measure
from ..stats import Spread, medians
from .base import Experiment


def _work(workload: str, how: str, share: float = 1.0) -> Work:
    return Work("end_to_end", workload, how, share)


_MAP = _work("end_to_end", "map", 3.0)
#: What is run on each cluster. One thing differs from the first at a time.
_PLAN: Tuple[Tuple[Shape, Tuple[Work, ...]], ...] = (
    (
        Shape(),
        (
            _MAP,
            _work("by_batch", "POST /v1/tasks/batch, 1,000 each"),
            _work("by_executor", "executor"),
            _work("by_submit", "submit, one after another", 0.2),
            _work("sized_1024", "map, arguments of 1 KiB"),
            _work("sized_65536", "map, arguments of 64 KiB", 0.1),
        ),
    ),
    (Shape(mode="pull"), (_MAP,)),
    (Shape(slots=1), (_MAP,)),
    (Shape(slots=4), (_MAP,)),
    (Shape(nodes=1), (_MAP,)),
)


def run(context: Context, binaries: Binaries) -> Report:
    """Each cluster in turn, as many times as there are rounds."""
    rows: Dict[Tuple[Shape, Work], List[Dict[str, float]]] = {}
    for _ in range(context.rounds):
        for shape, works in _PLAN:
            with RunningRaftwork(binaries, shape) as running:
                for work in works:
                    rows.setdefault((shape, work), []).append(measure(context, running, work))
    table = Table(
        "End to end: no-op tasks submitted and results fetched, one Python client, fsync on a majority",
        ("cluster", "how", "tasks/s", "least - most", "CPU us/task: client", "nodes", "workers"),
    )
    data = []
    for (shape, work), rounds in rows.items():
        middle = medians(rounds)
        spread = Spread.of([one["rate"] for one in rounds])
        cpu = {
            name: middle.get(f"cpu_us_{name}", 0.0) for name in ("client", "leader", "followers", "worker", "children")
        }
        table.add(
            shape,
            work.how,
            number(spread.median),
            f"{number(spread.least)} - {number(spread.most)}",
            number(cpu["client"]),
            number(cpu["leader"] + cpu["followers"]),
            number(cpu["worker"] + cpu["children"]),
        )
        data.append({"cluster": str(shape), "how": work.how, "rounds": rounds, "median": middle})
    return Report([table], data=data)


EXPERIMENT = Experiment("end-to-end", "no-op tasks per second by map, batch, executor and single submits", run)
