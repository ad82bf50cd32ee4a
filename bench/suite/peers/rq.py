"""RQ with Redis."""

from pathlib import Path

from ..driver import Driver
from ..install import environment
from ..places import DRIVERS
from ..processes import Group, Process
from . import redis
from .base import SLOTS, Driven, Peer, Work


class Rq(Peer):
    """``SimpleWorker``, which does not fork for each job: the default worker is four times slower."""

    name, title, flushed, copies = "rq", "RQ + Redis, SimpleWorker", "no", "1"
    works = (
        Work("end_to_end", "end_to_end", "", share=0.5),
        Work("latency", "latency", ""),
        Work("submission", "submission", "", share=0.5),
    )

    def install(self) -> None:
        redis.binary()
        self._python()

    def start(self) -> Driven:
        with Group.starting() as group:
            server = redis.Redis(group, self.folder)
            env = {**server.env, "PYTHONPATH": str(DRIVERS)}
            command = [self._python().with_name("rq"), "worker", "-w", "rq.SimpleWorker", "--url", server.url, "bench"]
            for number in range(1, SLOTS + 1):
                group.add(Process(f"worker{number}", [*command, "--quiet"], self.folder, env))
            driver = Driver(self._python(), "drive_rq.py", self.folder, env, group)
            return Driven(group, driver, {"redis": redis.version()})

    def _python(self) -> Path:
        return environment("rq", ("rq==3.0.0", "redis==8.1.0"))
