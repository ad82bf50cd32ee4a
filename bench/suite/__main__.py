"""Measures Raftwork, and the systems that its users would pick instead, on this machine.

Without arguments: a quick look at Raftwork itself, a few minutes. Builds what it measures (release), starts clusters of
its own on free ports with data in target/bench, and removes them. Nothing needs root.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence

from . import build, install, side_by_side
from .context import Context
from .experiments import DEFAULT, EXPERIMENTS
from .peers import all_peers
from .places import BENCH, RESULTS, VENV
from .plots import draw
from .report import Report
from .say import Failed, say

_KINDS = ("end_to_end", "latency", "submission")
_EPILOG = """\
examples:
  bench/run                                   a quick look: {default}
  bench/run end-to-end latency --rounds 3     experiments by name (bench/run --list shows all)
  bench/run --peers                           the side-by-side table, three rounds, about 25 minutes
  bench/run --peers --only celery,etcd        some of the peers
  bench/run --peers --kinds latency --quick   one of its tables, fewer tasks
  bench/run depth --depths 0,1000000,10000000
  bench/run fail-over --kills 20 --transfers 20

Tables go to standard output, progress to standard error; JSON and plots to target/bench/results/TIME (--json prints the
JSON instead of the tables). A machine that does other things meanwhile is waited for, then measured anyway and marked.
bench/README.md says how to read the tables.

exit codes: 0 measured, whatever the figures; 1 it could not run; 2 wrong usage
"""


def main() -> int:
    """Parses, sets up, measures, reports."""
    arguments = _parse()
    if arguments.list:
        _list()
        return 0
    # What was started is stopped, whoever ends us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _enter_environment()
        return _run(arguments)
    except Failed as error:
        print(f"bench/run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench/run: stopped", file=sys.stderr)
        return 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description=__doc__,
        epilog=_EPILOG.format(default=", ".join(DEFAULT)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=", ".join(EXPERIMENTS))
    parser.add_argument("--list", action="store_true", help="list experiments and peers")
    parser.add_argument("--quick", action="store_true", help="fewer tasks and shorter runs")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="rounds, of which medians are taken (default: 3, quick: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.add_argument("--no-build", action="store_true", help="measure what was built the last time")
    parser.add_argument(
        "--binaries", type=Path, metavar="DIR", help="measure this build: DIR/raftworkd and DIR/python/raftwork"
    )
    parser.add_argument(
        "--patience", type=float, default=60.0, metavar="S", help="seconds to wait for a quiet machine (default: 60)"
    )
    peers = parser.add_argument_group("side by side")
    peers.add_argument("--peers", action="store_true", help="the same work on Raftwork and on its peers, in turn")
    peers.add_argument("--only", type=_names, default=[], metavar="PEER,...", help="these peers (implies --peers)")
    peers.add_argument("--kinds", type=_kinds, default=list(_KINDS), metavar="KIND,...", help=f"of {', '.join(_KINDS)}")
    single = parser.add_argument_group("single experiments")
    single.add_argument("--minutes", type=float, default=10.0, metavar="M", help="length of the soak (default: 10)")
    single.add_argument(
        "--depths", type=_depths, default=[], metavar="N,...", help="tasks queued (default: 0,1000000; quick: 0,100000)"
    )
    single.add_argument(
        "--kills", type=int, default=5, metavar="N", help="fail-over: kill -9 of the leader (default: 5)"
    )
    single.add_argument(
        "--transfers", type=int, default=5, metavar="N", help="fail-over: planned hand-overs (default: 5)"
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.experiments if name not in EXPERIMENTS]
    if unknown:
        parser.error(f"there is no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    return arguments


def _names(text: str) -> List[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _kinds(text: str) -> List[str]:
    kinds = [name.replace("-", "_") for name in _names(text)]
    if not set(kinds) <= set(_KINDS):
        raise argparse.ArgumentTypeError(f"kinds are {', '.join(_KINDS)}")
    return kinds


def _depths(text: str) -> List[int]:
    return [int(depth) for depth in _names(text)]


def _list() -> None:
    print("experiments:")
    for name, experiment in EXPERIMENTS.items():
        print(f"  {name:12} {experiment.summary}")
    print("\npeers:")
    for peer in all_peers():
        print(f"  {peer.name:14} {peer.title}; flushed: {peer.flushed}; copies: {peer.copies}")


def _enter_environment() -> None:
    """Goes on in the suite's own Python, which has what plots and the package need."""
    python = install.own_environment(BENCH / "requirements.txt")
    if Path(sys.prefix) != VENV:
        os.execv(python, [str(python), "-m", "suite", *sys.argv[1:]])


def _run(arguments: argparse.Namespace) -> int:
    side = arguments.peers or bool(arguments.only)
    names = arguments.experiments or ([] if side else list(DEFAULT))
    quick = arguments.quick or not (arguments.experiments or side)
    context = Context(
        quick=quick,
        rounds=arguments.rounds or (1 if quick else 3),
        minutes=arguments.minutes,
        patience=arguments.patience,
        depths=tuple(arguments.depths),
        kills=arguments.kills,
        transfers=arguments.transfers,
    )
    binaries = _binaries(arguments)
    if side or any(EXPERIMENTS[name].needs_load for name in names):
        _build_load(arguments)
    reports: Dict[str, Report] = {}
    for name in names:
        say(f"experiment {name}: {EXPERIMENTS[name].summary}")
        reports[name] = EXPERIMENTS[name].run(context, binaries)
        _print(arguments, reports[name])
    if side:
        reports["peers"] = side_by_side.run(context, binaries, arguments.only, arguments.kinds)
        _print(arguments, reports["peers"])
    _save(arguments, context, reports)
    return 0


def _binaries(arguments: argparse.Namespace) -> build.Binaries:
    if arguments.binaries:
        return build.Binaries(arguments.binaries.resolve()).check()
    if arguments.no_build:
        return build.Binaries(build.BINARIES).check()
    return build.build()


def _build_load(arguments: argparse.Namespace) -> None:
    from . import load

    if not (arguments.no_build and load.exists()):
        build.build_load()


def _print(arguments: argparse.Namespace, report: Report) -> None:
    if not arguments.json:
        for table in report.tables:
            print(table, flush=True)


def _save(arguments: argparse.Namespace, context: Context, reports: Dict[str, Report]) -> None:
    """JSON and plots, beside each other."""
    folder = RESULTS / time.strftime("%Y-%m-%dT%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    data: Dict[str, Any] = {
        "commit": build.commit(),
        "machine": _machine(),
        "context": context.__dict__,
        "results": {name: report.data for name, report in reports.items()},
    }
    text = json.dumps(data, indent=1)
    (folder / "results.json").write_text(text + "\n")
    plots: Sequence[Path] = [path for report in reports.values() for path in draw(report.plots, folder)]
    if arguments.json:
        print(text)
    for path in (folder / "results.json", *plots):
        say(f"written: {path}")


def _machine() -> Dict[str, Any]:
    cpus = [
        line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": cpus[0] if cpus else platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
