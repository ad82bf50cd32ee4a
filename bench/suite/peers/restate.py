"""Restate: its server from npm, handlers in Python under Hypercorn."""

import json
from pathlib import Path
from typing import List

from ..driver import Driver
from ..install import Missing, environment, npm_package, version_of
from ..places import DRIVERS
from ..processes import Group, Process, answers, fetch, free_ports
from .base import SLOTS, Driven, Peer, Work

_REQUIREMENTS = ("restate-sdk==1.3.0", "hypercorn==0.18.0", "aiohttp>=3.11")


class Restate(Peer):
    """One node, or three that keep each entry of their log on two."""

    works = (
        Work("end_to_end", "end_to_end", "send all, then attach, 128 at a time", share=0.5),
        Work("end_to_end", "end_to_end_calls", "calls, 256 at a time", share=0.5),
        Work("latency", "latency", "call"),
        Work("submission", "submission", "send, 128 at a time, handlers down", share=0.5),
    )

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self.name = f"restate-{nodes}"
        self.title = f"Restate, {nodes} node{'s' * (nodes != 1)}"
        self.flushed = "yes"
        self.copies = "1" if nodes == 1 else f"2 of {nodes}"

    def install(self) -> None:
        self._server()
        self._python()

    def start(self) -> Driven:
        with Group.starting() as group:
            ingress, admins = self._start_servers(group)
            (port,) = free_ports(1)
            hypercorn = [
                self._python(),
                "-m",
                "hypercorn",
                "restate_service:app",
                "-w",
                SLOTS,
                "-b",
                f"127.0.0.1:{port}",
            ]
            group.add(Process("worker", hypercorn, self.folder, {"PYTHONPATH": str(DRIVERS)}))
            group.wait_for("the handlers", lambda: answers(port))
            self._register(group, admins[0], port)
            urls = ",".join(f"http://127.0.0.1:{port}" for port in ingress)
            group.wait_for("the service", lambda: _serves(ingress))
            driver = Driver(self._python(), "drive_restate.py", self.folder, {"BENCH_INGRESS": urls}, group)
            version = version_of(self._server(), ["--version"]).split()[1]
            return Driven(group, driver, {"restate-server": version})

    def _start_servers(self, group: Group) -> "tuple[List[int], List[int]]":
        count = self._nodes
        ports = free_ports(3 * count)
        nodes, ingress, admins = ports[:count], ports[count : 2 * count], ports[2 * count :]
        for number in range(count):
            config = self._config(number, nodes, ingress[number], admins[number])
            place = self.folder / f"n{number + 1}"
            place.mkdir(parents=True, exist_ok=True)
            (place / "restate.toml").write_text(config)
            command = [self._server(), "--no-logo", "--config-file", place / "restate.toml"]
            group.add(Process(f"restate{number + 1}", command, place))
        group.wait_for("restate", lambda: all(map(_healthy, admins)), 90)
        return ingress, admins

    def _config(self, number: int, nodes: List[int], ingress: int, admin: int) -> str:
        peers = json.dumps([f"http://127.0.0.1:{port}" for port in nodes])
        return f"""
cluster-name = "bench"
node-name = "n{number + 1}"
base-dir = {json.dumps(str(self.folder / f"n{number + 1}" / "data"))}
listen-mode = "tcp"
bind-address = "127.0.0.1:{nodes[number]}"
advertised-address = "http://127.0.0.1:{nodes[number]}"
auto-provision = {json.dumps(number == 0)}
default-replication = {1 if self._nodes == 1 else 2}
disable-telemetry = true
log-filter = "warn"

[metadata-client]
addresses = {peers}

[ingress]
bind-address = "127.0.0.1:{ingress}"
advertised-address = "http://127.0.0.1:{ingress}"

[admin]
bind-address = "127.0.0.1:{admin}"
advertised-address = "http://127.0.0.1:{admin}"
"""

    def _register(self, group: Group, admin: int, port: int) -> None:
        body = json.dumps({"uri": f"http://127.0.0.1:{port}"}).encode()

        def registered() -> bool:
            try:
                return bool(json.loads(fetch(f"http://127.0.0.1:{admin}/deployments", body, 10.0)))
            except (OSError, ValueError):
                return False

        group.wait_for("the handlers to be registered", registered)

    def _server(self) -> Path:
        folder = npm_package("restate", "@restatedev/restate-server@1.7.12")
        # The command that npm links is a script of Node that starts this one.
        for binary in sorted(folder.glob("@restatedev/restate-server-*/bin/restate-server")):
            return binary
        raise Missing("the npm package has no server for this machine")

    def _python(self) -> Path:
        return environment("restate", _REQUIREMENTS)


def _healthy(admin: int) -> bool:
    try:
        fetch(f"http://127.0.0.1:{admin}/health", timeout=1.0)
    except OSError:
        return False
    return True


def _serves(ingress: List[int]) -> bool:
    try:
        return all(json.loads(fetch(f"http://127.0.0.1:{port}/bench/increment", b"1")) == 2 for port in ingress)
    except (OSError, ValueError):
        return False
