"""RQ: the function that its workers import, and the client."""

import os

import redis
import rq
from workload import System, serve


def increment(x):
    """The function."""
    return x + 1


class Rq(System):
    def versions(self):
        return {"rq": rq.VERSION, "redis-py": redis.__version__}

    def __init__(self):
        self._redis = redis.Redis.from_url(os.environ["BENCH_REDIS"])
        self._queue = rq.Queue("bench", connection=self._redis)

    def run_all(self, values):
        return [self._wait(job) for job in [self._enqueue(value) for value in values]]

    def run_one(self, value):
        return self._wait(self._enqueue(value))

    def submit_all(self, values):
        for value in values:
            self._enqueue(value)

    def _enqueue(self, value):
        # By name: workers have the module, and this program is their __main__.
        return self._queue.enqueue("drive_rq.increment", value)

    def _wait(self, job):
        return job.latest_result(timeout=120).return_value


if __name__ == "__main__":
    serve(Rq())
