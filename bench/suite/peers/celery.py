"""Celery with Redis as broker and for results."""

from pathlib import Path

from ..driver import Driver
from ..install import environment
from ..places import DRIVERS
from ..processes import Group, Process
from . import redis
from .base import SLOTS, Driven, Peer, Work

#: kombu imports packaging and does not ask for it.
_REQUIREMENTS = ("celery==5.7.0", "redis==8.1.0", "packaging")


class Celery(Peer):
    """Prefork workers; tasks by a loop of ``delay``, which is faster than a group."""

    works = (
        Work("end_to_end", "end_to_end", "delay loop"),
        Work("latency", "latency", ""),
        Work("submission", "submission", "delay loop"),
    )

    def __init__(self, name: str, title: str, flushed: str, always: bool) -> None:
        self.name, self.title, self.flushed, self.copies = name, title, flushed, "1"
        self._always = always

    def install(self) -> None:
        redis.binary()
        self._python()

    def start(self) -> Driven:
        with Group.starting() as group:
            server = redis.Redis(group, self.folder, aof_always=self._always)
            env = {**server.env, "PYTHONPATH": str(DRIVERS), "BENCH_ACKS_LATE": "1" if self._always else "0"}
            command = [self._python(), "-m", "celery", "-A", "drive_celery", "worker", "-P", "prefork"]
            group.add(Process("worker", [*command, "-c", SLOTS, "-l", "WARNING"], self.folder, env))
            driver = Driver(self._python(), "drive_celery.py", self.folder, env, group)
            return Driven(group, driver, {"redis": redis.version()})

    def _python(self) -> Path:
        return environment("celery", _REQUIREMENTS)


def celery_defaults() -> Celery:
    """As one starts it: early acknowledgement, Redis writes a snapshot now and then."""
    return Celery("celery", "Celery + Redis, defaults", "no", always=False)


def celery_always() -> Celery:
    """Late acknowledgement, and Redis flushes before it answers."""
    return Celery("celery-always", "Celery + Redis, late acks, AOF always", "yes", always=True)
