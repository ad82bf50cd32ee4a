"""Clients that run in an environment of their own: they take workloads line by line, and answer in JSON."""

import json
import select
import time
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from .places import DRIVERS
from .processes import Group, Process
from .say import Failed

#: Longest that one workload may take before it is given up, in seconds.
_PATIENCE = 240.0


class Driver:
    """One of the programs in ``bench/drivers``, started with the Python that has the client library."""

    def __init__(
        self,
        python: Path,
        script: str,
        folder: Path,
        env: Optional[Mapping[str, str]] = None,
        group: Optional[Group] = None,
    ) -> None:
        #: What it depends on: an end of any of these is noticed while it waits in vain.
        self._group = group or Group()
        self.process = Process("driver", [python, "-u", DRIVERS / script], folder, env, pipes=True)
        #: What the driver says of itself: versions.
        self.hello: Dict[str, Any] = self._answer()

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    def run(self, workload: str, size: int) -> Dict[str, Any]:
        """Runs one workload."""
        assert self.process.child.stdin is not None, "started with pipes"
        try:
            self.process.child.stdin.write(f"{workload} {size}\n".encode())
            self.process.child.stdin.flush()
        except OSError as error:
            raise Failed(f"the client is gone: {error}\n{self.process.tail()}") from error
        return self._answer()

    def stop(self) -> None:
        """Lets it end."""
        assert self.process.child.stdin is not None, "started with pipes"
        try:
            self.process.child.stdin.close()
            self.process.child.wait(10)
        except Exception:
            # Whatever keeps it, it is killed.
            pass
        self.process.stop()

    def _answer(self) -> Dict[str, Any]:
        """The next line of its output that is JSON; libraries print other things there, too."""
        output = self.process.child.stdout
        assert output is not None, "started with pipes"
        deadline = time.monotonic() + _PATIENCE
        while True:
            ready, _, _ = select.select([output], [], [], 1.0)
            if not ready:
                self._group.check()
                if time.monotonic() > deadline:
                    raise Failed(f"the client has said nothing for {_PATIENCE:.0f} s\n{self.process.tail()}")
                continue
            line = output.readline()
            if not line:
                raise Failed(f"the client ended; its log ends so:\n{self.process.tail()}")
            if line.startswith(b"{"):
                answer: Dict[str, Any] = json.loads(line)
                if "failed" in answer:
                    raise Failed(f"the client failed: {answer['failed']}\n{self.process.tail()}")
                return answer
