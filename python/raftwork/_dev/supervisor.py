"""Bringing a development cluster up, keeping it in the foreground, and taking it down."""

import os
import signal
import subprocess
import sys
import threading
from typing import Callable, Dict, List

from .._cli._errors import CommandError
from . import processes, rest
from .layout import Cluster, Layout, Process, find_raftworkd

READY_WITHIN = 60.0


def plan(
    layout: Layout, mode: str, nodes: int, workers: int, worker_options: List[str], release: bool = False
) -> Cluster:
    """What to start: nodes first, then workers. Writes the configuration."""
    daemon = find_raftworkd(release)
    if daemon is None and release:
        raise CommandError(
            "there is no optimised raftworkd in this checkout; build it (some minutes, once): "
            "source scripts/setup && cargo build --release -p raftwork-node"
        )
    if daemon is None:
        raise CommandError("cannot find raftworkd; build it (cargo build -p raftwork-node), or name it in $RAFTWORKD")
    ports = layout.ports(nodes)
    layout.write_config(ports)
    cluster = Cluster(mode=mode)
    for number, port in enumerate(ports, start=1):
        command = [daemon, "serve", "--config", str(layout.config), "--node", str(number)]
        cluster.processes[f"n{number}"] = Process(f"n{number}", command, url=f"http://127.0.0.1:{port}")
    urls = ",".join(cluster.urls())
    for number in range(1, workers + 1):
        name = f"w{number}"
        command = [sys.executable, "-m", "raftwork", "worker", "--url", urls, "--name", name, *worker_options]
        cluster.processes[name] = Process(name, command)
    return cluster


class Supervisor:
    """Owns the processes of a cluster while it runs in the foreground."""

    def __init__(self, layout: Layout, cluster: Cluster) -> None:
        self.layout = layout
        self.cluster = cluster
        self.children: Dict[str, "subprocess.Popen[bytes]"] = {}
        self.stop = threading.Event()

    def up(self) -> None:
        """Starts everything; returns once a write has been committed and the workers are started."""
        self.cluster.supervisor = os.getpid()
        for process in self.cluster.nodes():
            self.children[process.name] = processes.start(self.layout, process)
        self.layout.save(self.cluster)
        urls = self.cluster.urls()
        self._await(lambda: all(rest.is_ready(url) for url in urls), "the nodes to be ready")
        self._await(lambda: rest.commit_a_write(urls[0]), "a write to be committed")
        for process in self.cluster.workers():
            self.children[process.name] = processes.start(self.layout, process)
        self.layout.save(self.cluster)
        wanted = len(self.cluster.workers())
        self._await(lambda: _connected(urls) >= wanted, "the workers to connect")

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        def settled() -> bool:
            return self.stop.is_set() or bool(self._dead()) or condition()

        came = processes.wait_until(settled, READY_WITHIN)
        dead = self._dead()
        if dead:
            raise CommandError(f"{dead} ended while the cluster was starting; its log ends so:\n" + self._tail(dead))
        if not came:
            raise CommandError(f"waited {READY_WITHIN:.0f} s in vain for {what}; the logs are in {self.layout.logs}")

    def _dead(self) -> str:
        return next((name for name, child in self.children.items() if child.poll() is not None), "")

    def _tail(self, name: str) -> str:
        return processes.log_tail(self.layout, name)

    def foreground(self) -> None:
        """Waits for Ctrl-C or SIGTERM, reaping processes that others kill and restart."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stop.set())
        while not self.stop.wait(0.2):
            for child in self.children.values():
                child.poll()

    def down(self) -> None:
        """Stops everything, including what was restarted meanwhile."""
        latest = self.layout.load() or self.cluster
        reaper = threading.Thread(target=self._reap, daemon=True)
        reaper.start()
        processes.stop_all(latest)

    def _reap(self) -> None:
        for child in self.children.values():
            child.wait()


def _connected(urls: List[str]) -> int:
    try:
        return len(rest.call(f"{urls[0]}/v1/workers")["workers"])
    except (OSError, ValueError, KeyError):
        return 0
