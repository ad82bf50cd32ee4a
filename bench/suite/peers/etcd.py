"""etcd, three members: what a replicated and flushed write costs elsewhere."""

import json
from pathlib import Path
from typing import Dict, List

from .. import load
from ..install import debian_binary, version_of
from ..processes import Group, Process, fetch, free_ports
from .base import Peer, Work
from .loaded import Loaded

MEMBERS = 3


class Etcd(Peer):
    """Puts of 256 bytes to the member that leads, which is faster than to all of them."""

    name, title, flushed, copies = "etcd", "etcd, 3 members", "yes", "3"
    works = tuple(
        Work("submission", str(clients), f"put, {clients} clients", generator=True) for clients in (1, 64, 256)
    )

    def install(self) -> None:
        self._binary()

    def start(self) -> Loaded:
        with Group.starting() as group:
            leader = self._start(group)
            version = version_of(self._binary(), ["--version"]).split()[-1]
            # More connections were slower: gRPC shares one between all callers.
            return Loaded(group, "etcd", ["--urls", leader, "--connections", 1], {"etcd": version})

    def _start(self, group: Group) -> str:
        ports = free_ports(2 * MEMBERS)
        clients, peers = ports[:MEMBERS], ports[MEMBERS:]
        members = ",".join(f"m{number}=http://127.0.0.1:{port}" for number, port in enumerate(peers, start=1))
        for number in range(1, MEMBERS + 1):
            client, peer = (f"http://127.0.0.1:{ports[number - 1]}" for ports in (clients, peers))
            command = [self._binary(), "--name", f"m{number}", "--data-dir", self.folder / f"m{number}"]
            command += ["--listen-client-urls", client, "--advertise-client-urls", client]
            command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
            command += ["--initial-cluster", members, "--initial-cluster-state", "new", "--logger", "zap"]
            group.add(Process(f"m{number}", [*command, "--log-level", "warn"], self.folder))
        found: Dict[str, str] = {}

        def one_leads() -> bool:
            found.update(_leader(clients))
            return bool(found)

        group.wait_for("a leader of etcd", one_leads)
        return found["url"]

    def _binary(self) -> Path:
        return debian_binary("etcd", "etcd", ("etcd-server",))


def _leader(ports: List[int]) -> Dict[str, str]:
    """URL of the member that leads, if all members know it."""
    found = {}
    for url in load.endpoints(ports).split(","):
        try:
            status = json.loads(fetch(f"{url}/v3/maintenance/status", b"{}"))
        except (OSError, ValueError):
            return {}
        if "leader" in status and status["leader"] == status["header"]["member_id"]:
            found["url"] = url
    return found
