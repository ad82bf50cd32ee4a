"""Faults against the running cluster, under load, with a verdict. `./kill.sh -h` explains."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from kill_checks import Check, History, Outage, check, holds
from kill_load import Load, read_ledger
from kill_target import Cluster, ClusterError, Process, wait_for

FAULTS = ("workers", "leader", "all-workers", "all-nodes")


class Run:
    """One run of faults against one cluster."""

    def __init__(self, cluster: Cluster, load: Load, period: float, seed: int) -> None:
        """Prepare; `history` fills while faults happen."""
        self._cluster = cluster
        self._load = load
        self._period = period
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self.history = History()
        self.pauses: list[float] = []
        """Seconds from each leader's death to the next acknowledged write."""

    def say(self, text: str) -> None:
        """Print a line of the log."""
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)

    def fault(self, kind: str) -> None:
        """Do one fault, mend it, and wait until the cluster is whole again."""
        faults: dict[str, Callable[[], None]] = {
            "workers": self._some_workers,
            "leader": self._leader,
            "all-workers": self._all_workers,
            "all-nodes": self._all_nodes,
        }
        time.sleep(self._period)
        faults[kind]()
        self._cluster.wait_ready()
        told = f"{len(self._load.accepted)} tasks acknowledged, {self._load.finished()} ended"
        self.say(f"  all nodes and workers are back; {told}")

    def _kill(self, processes: Sequence[Process]) -> None:
        names = ", ".join(f"{one.name} (pid {one.pid})" for one in processes)
        self.say(f"kill -9 {names}")
        workers = {one.name for one in self._cluster.workers}
        self.history.worker_kills += [kill for kill in self._cluster.kill(processes) if kill.name in workers]

    def _some_workers(self) -> None:
        workers = self._cluster.workers
        if workers:
            self._replace(self._random.sample(workers, self._random.randint(1, (len(workers) + 1) // 2)))

    def _all_workers(self) -> None:
        if self._cluster.workers:
            self._replace(self._cluster.workers)

    def _replace(self, processes: Sequence[Process]) -> None:
        self._kill(processes)
        time.sleep(self._period / 2)
        self._cluster.restart(processes)

    def _leader(self) -> None:
        leader = self._cluster.leader()
        if len(self._cluster.nodes) < 3:
            self._without_quorum([leader])
            return
        self._kill([leader])
        died = time.monotonic()
        wait_for(
            "a write to be acknowledged without the leader",
            lambda: self._load.submit() or None,
        )
        self.pauses.append(time.monotonic() - died)
        self.say(f"  a write was acknowledged {self.pauses[-1]:.2f} s after the leader's death")
        time.sleep(self._period / 2)
        self._cluster.restart([leader])

    def _all_nodes(self) -> None:
        self._without_quorum(self._cluster.nodes)

    def _without_quorum(self, nodes: Sequence[Process]) -> None:
        begins = time.time()
        self._kill(nodes)
        time.sleep(self._period / 2)
        self._cluster.restart(nodes)
        self._cluster.wait_ready()
        self.history.outages.append(Outage(begins, time.time()))


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="./kill.sh", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--period", type=float, default=4.0)
    parser.add_argument("--only", default=",".join(FAULTS))
    parser.add_argument("--load", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    chosen = parser.parse_args(arguments)
    chosen.only = chosen.only.split(",")
    unknown = [kind for kind in chosen.only if kind not in FAULTS]
    if unknown:
        parser.error(f"--only: unknown fault {unknown[0]} (known: {', '.join(FAULTS)})")
    if chosen.rounds < 1 or chosen.period <= 0 or chosen.load < 0:
        parser.error("--rounds and --period must be positive, --load must not be negative")
    return chosen


def verdict(checks: Sequence[Check]) -> bool:
    """Print the table of checks and their first violations; say whether all hold."""
    width = max(len(one.claim) for one in checks)
    print(f"\n{'CLAIM':<{width}}  EXAMINED  VIOLATIONS  VERDICT")
    for one in checks:
        word = "holds" if holds(one) else ("BROKEN" if one.violations else "NOT TRIED")
        print(f"{one.claim:<{width}}  {one.examined:>8}  {len(one.violations):>10}  {word}")
    for one in checks:
        for violation in one.violations[:10]:
            print(f"  {one.claim}: {violation}")
    return all(holds(one) for one in checks)


def run(chosen: argparse.Namespace, folder: Path) -> bool:
    """Do everything that was asked for; say whether all claims hold."""
    cluster = Cluster(Path(sys.executable).with_name("raftwork"))
    cluster.wait_ready()
    outstanding = chosen.load or 4 * max(1, len(cluster.workers))
    ledger = folder / "executions.jsonl"
    load = Load(cluster.nodes, outstanding, ledger, chosen.seed)
    print(f"{len(cluster.nodes)} nodes, {len(cluster.workers)} workers; {outstanding} unfinished tasks of 0.1 to 5 s")
    print(f"seed {chosen.seed}; executions are noted in {ledger}\n", flush=True)
    load.start()
    faults = Run(cluster, load, chosen.period, chosen.seed)
    for kind in chosen.only:
        for _ in range(chosen.rounds):
            faults.fault(kind)
    faults.say("no more faults; waiting for the last tasks")
    load.stop(seconds=180.0)
    load.ask_every_node()
    history = faults.history
    history.accepted, history.endings = load.accepted, load.endings
    history.executions = read_ledger(ledger)
    history.digests = cluster.digests()
    report(faults, load)
    return verdict(check(history))


def report(faults: Run, load: Load) -> None:
    """Print what is worth knowing but decides nothing."""
    history = faults.history
    again = len(history.executions) - len({one.task_id for one in history.executions})
    faults.say(
        f"{len(history.accepted)} acknowledged, {load.refused} not acknowledged, "
        f"{len(history.executions)} executions, {again} of them repeats"
    )
    if faults.pauses:
        pauses = sorted(faults.pauses)
        median, worst = pauses[len(pauses) // 2], pauses[-1]
        faults.say(f"from a leader's death to the next acknowledged write: median {median:.2f} s, worst {worst:.2f} s")


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 all claims hold, 1 one does not, 2 the run could not be made."""
    chosen = options(arguments)
    folder = Path(tempfile.mkdtemp(prefix="raftwork-kill-"))
    try:
        if not run(chosen, folder):
            return 1  # the folder is the evidence, and stays
        shutil.rmtree(folder)
        return 0
    except ClusterError as error:
        print(f"kill.sh: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
