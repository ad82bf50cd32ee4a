"""Where a development cluster keeps its files, and what it remembers of its processes."""

import json
import os
import shutil
import socket
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, List, Optional

from .._cli._errors import CommandError

FIRST_PORT = 7001


@dataclass
class Process:
    """A process of the cluster, node or worker."""

    name: str
    command: List[str]
    pid: int = 0
    url: Optional[str] = None


@dataclass
class Cluster:
    """The state file: enough to find, kill and restart every process."""

    mode: str
    processes: Dict[str, Process] = field(default_factory=dict)
    supervisor: int = 0

    def nodes(self) -> List[Process]:
        """The nodes, by number."""
        return [process for process in self.processes.values() if process.url]

    def workers(self) -> List[Process]:
        """The workers, by number."""
        return [process for process in self.processes.values() if not process.url]

    def urls(self) -> List[str]:
        """Base URLs of the nodes."""
        return [process.url for process in self.nodes() if process.url]


class Layout:
    """The folder of one development cluster."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.logs = self.root / "logs"
        self.config = self.root / "cluster.toml"
        self.state = self.root / "dev.json"

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self.logs / f"{name}.log"

    def save(self, cluster: Cluster) -> None:
        """Replaces the state file, as one step."""
        aside = self.state.with_suffix(".tmp")
        aside.write_text(json.dumps(asdict(cluster), indent=2) + "\n")
        os.replace(aside, self.state)

    def load(self) -> Optional[Cluster]:
        """The last saved state, if there is one."""
        try:
            saved = json.loads(self.state.read_text())
        except FileNotFoundError:
            return None
        processes = {name: Process(**process) for name, process in saved.pop("processes").items()}
        return Cluster(processes=processes, **saved)

    def ports(self, nodes: int) -> List[int]:
        """The ports of the nodes: those of last time, else free ones from 7001 on."""
        if self.config.exists():
            used = [line for line in self.config.read_text().splitlines() if line.startswith("addr")]
            known = [int(line.rsplit(":", 1)[1].strip().strip('"')) for line in used]
            if len(known) == nodes:
                return known
            raise CommandError(
                f"the data in {self.root} is of a cluster of {len(known)} nodes; "
                f"start it with -n {len(known)}, or remove it: raftwork dev clean"
            )
        free = (port for port in range(FIRST_PORT, 65000) if _is_free(port))
        ports = [next(free) for _ in range(nodes)]
        if ports[-1] != FIRST_PORT + nodes - 1:
            print(f"ports from {FIRST_PORT} on are taken; using {', '.join(map(str, ports))}", file=sys.stderr)
        return ports

    def write_config(self, ports: List[int]) -> None:
        """Writes ``cluster.toml`` for nodes on these ports."""
        lines = ["# Written by raftwork dev.", "[cluster]", 'name = "dev"', ""]
        for number, port in enumerate(ports, start=1):
            lines += ["[[node]]", f"id = {number}", f'addr = "127.0.0.1:{port}"', f'data = "n{number}"', ""]
        self.logs.mkdir(parents=True, exist_ok=True)
        self.config.write_text("\n".join(lines))


def find_raftworkd(release: bool = False) -> Optional[str]:
    """The node daemon: ``$RAFTWORKD``, a build of the checkout around the current folder, or the one on the path.

    ``release``: only an optimised build of a checkout.
    """
    named = os.environ.get("RAFTWORKD")
    if named and not release:
        return named
    profiles = ("release",) if release else ("release", "debug")
    for folder in [Path.cwd(), *Path.cwd().parents]:
        built = [folder / "target" / profile / "raftworkd" for profile in profiles]
        built = [daemon for daemon in built if daemon.is_file()]
        if built:
            # The newest: an optimised build of last week does not speak for today's sources.
            return str(max(built, key=lambda daemon: daemon.stat().st_mtime))
    return None if release else shutil.which("raftworkd")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
