"""Huey: the queue that its consumer loads, and the client."""

import os

import huey as library
from workload import System, serve

huey = library.RedisHuey("bench", url=os.environ["BENCH_REDIS"])

#: Huey's client asks Redis again and again; this is the pause, in seconds. Its default of up to 1 s would be measured.
POLL = 0.0005


@huey.task()
def increment(x):
    """The function."""
    return x + 1


class Huey(System):
    def versions(self):
        return {"huey": library.__version__}

    def run_all(self, values):
        return [self._wait(result) for result in [increment(value) for value in values]]

    def run_one(self, value):
        return self._wait(increment(value))

    def submit_all(self, values):
        for value in values:
            increment(value)

    def _wait(self, result):
        return result.get(blocking=True, timeout=120, backoff=1.0, max_delay=POLL)


if __name__ == "__main__":
    # Tasks are found by the name of their module, which must be the consumer's.
    import drive_huey

    serve(drive_huey.Huey())
