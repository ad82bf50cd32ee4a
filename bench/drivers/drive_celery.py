"""Celery: the application that its workers load, and the client."""

import os

import celery
import redis
from workload import System, serve

URL = os.environ["BENCH_REDIS"]

app = celery.Celery("drive_celery", broker=URL, backend=URL)
app.conf.task_acks_late = os.environ.get("BENCH_ACKS_LATE") == "1"
app.conf.broker_connection_retry_on_startup = True


@app.task
def increment(x):
    """The function."""
    return x + 1


class Celery(System):
    def versions(self):
        return {"celery": celery.__version__, "redis-py": redis.__version__}

    def run_all(self, values):
        # A loop of delay() is faster than a group of signatures.
        return [result.get() for result in [increment.delay(value) for value in values]]

    def run_one(self, value):
        return increment.delay(value).get()

    def submit_all(self, values):
        for value in values:
            increment.delay(value)


if __name__ == "__main__":
    serve(Celery())
