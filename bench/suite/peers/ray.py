"""Ray core."""

import shutil
import tempfile
from pathlib import Path

from ..driver import Driver
from ..install import environment
from ..processes import Group
from .base import SLOTS, Driven, Peer, Work


class Ray(Peer):
    """``ray.init`` in the client: its servers and workers are the client's children."""

    name, title, flushed, copies = "ray", "Ray core", "no", "1, in memory"
    works = (Work("end_to_end", "end_to_end", ""), Work("latency", "latency", ""))

    def install(self) -> None:
        self._python()

    def start(self) -> Driven:
        with Group.starting() as group:
            # Its sockets live below this folder, and their paths may have 107 characters.
            place = tempfile.mkdtemp(prefix="bench-ray-")
            group.on_stop(lambda: shutil.rmtree(place, ignore_errors=True))
            env = {"BENCH_SLOTS": str(SLOTS), "BENCH_FOLDER": place, "RAY_USAGE_STATS_ENABLED": "0"}
            return Driven(group, Driver(self._python(), "drive_ray.py", self.folder, env))

    def _python(self) -> Path:
        return environment("ray", ("ray==2.60.0",))
