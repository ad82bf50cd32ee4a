"""Huey with Redis."""

from pathlib import Path

from ..driver import Driver
from ..install import environment
from ..places import DRIVERS
from ..processes import Group, Process
from . import redis
from .base import SLOTS, Driven, Peer, Work


class Huey(Peer):
    """Worker processes; the client polls for results every 0.5 ms."""

    name, title, flushed, copies = "huey", "Huey + Redis", "no", "1"
    works = (
        Work("end_to_end", "end_to_end", ""),
        Work("latency", "latency", "client polls every 0.5 ms"),
        Work("submission", "submission", ""),
    )

    def install(self) -> None:
        redis.binary()
        self._python()

    def start(self) -> Driven:
        with Group.starting() as group:
            server = redis.Redis(group, self.folder)
            env = {**server.env, "PYTHONPATH": str(DRIVERS)}
            consumer = [self._python(), "-m", "huey.bin.huey_consumer"]
            command = [*consumer, "drive_huey.huey", "-k", "process", "-w", SLOTS, "-q"]
            group.add(Process("worker", command, self.folder, env))
            driver = Driver(self._python(), "drive_huey.py", self.folder, env, group)
            return Driven(group, driver, {"redis": redis.version()})

    def _python(self) -> Path:
        return environment("huey", ("huey==3.5.4", "redis==8.1.0"))
