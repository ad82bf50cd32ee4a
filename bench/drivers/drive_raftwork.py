"""Raftwork: the client, with its ways to submit."""

import os
import time

from workload import System, repeated, serve, timed

import raftwork

#: Tasks in one batch request.
BATCH = 1000
#: Pause between the bursts of a steady load, in seconds.
TICK = 0.005
#: How long the results of these tasks are kept; none for the default.
RETENTION = os.environ.get("BENCH_RETENTION")


def increment(x):
    """The function."""
    return x + 1


def length(text):
    """A function whose argument is as large as one likes."""
    return len(text)


class Raftwork(System):
    def versions(self):
        return {"raftwork": raftwork.__version__}

    def __init__(self):
        self._client = raftwork.Client(os.environ["BENCH_URL"])
        self._increment = self._client.function(retention=RETENTION)(increment)
        self._first = self._increment.options(priority=9)
        self._length = self._client.function(length)
        self._source_id = None

    def run_all(self, values):
        return list(self._increment.map(values))

    def run_first(self, values):
        """As ``run_all``, before all that waits."""
        return list(self._first.map(values))

    def run_one(self, value):
        return self._increment.submit(value).result()

    def run_one_first(self, value):
        """As ``run_one``, before all that waits."""
        return self._first.submit(value).result()

    def run_one_by_rest(self, value):
        """Two requests on a connection that is kept: submit, and a long poll for the result."""
        body = {"function_id": self._source(), "args": [value]}
        task = self._client.rest("POST", "/v1/tasks", body)["task_id"]
        return self._client.rest("GET", f"/v1/tasks/{task}/result?wait=30s")["value"]

    def run_by_submit(self, values):
        handles = [self._increment.submit(value) for value in values]
        return [handle.result() for handle in handles]

    def run_by_executor(self, values):
        with self._client.executor() as executor:
            futures = [executor.submit(self._increment, value) for value in values]
            return [future.result() for future in futures]

    def run_by_batch(self, values):
        ids = [task for start in range(0, len(values), BATCH) for task in self._post(values[start : start + BATCH])]
        handles = [self._client.get(task) for task in ids]
        return [handle.result() for handle in handles]

    def run_sized(self, values, size):
        text = "v" * (size - 8)
        found = self._length.map(text + f"{value:08}" for value in values)
        return [value + 1 if one == size else None for value, one in zip(values, found)]

    def submit_all(self, values):
        for value in values:
            self._increment.submit(value)

    def paced_second(self, rate):
        """Submits so many tasks spread over a second; fails if they are not through shortly after."""
        began = time.perf_counter()
        futures = []
        with self._client.executor() as executor:
            while len(futures) < rate:
                due = min(rate, int((time.perf_counter() - began + TICK) * rate))
                futures += [executor.submit(self._increment, value) for value in range(len(futures), due)]
                time.sleep(TICK)
        return [future.result() for future in futures]

    def _post(self, values):
        body = {"function_id": self._source(), "items": [{"args": [value]} for value in values]}
        return self._client.rest("POST", "/v1/tasks/batch", body)["task_ids"]

    def _source(self):
        if self._source_id is None:
            source = "def increment(x):\n    return x + 1\n"
            function = {"name": "increment", "format": "source", "code": source}
            self._source_id = self._client.rest("POST", "/v1/functions", function)["function_id"]
        return self._source_id


def timed_by(name):
    """A workload that runs tasks by another way."""
    return lambda system, size: timed(getattr(system, name), size)


def sized(bytes_each):
    """A workload whose arguments have this many bytes."""
    return lambda system, size: timed(lambda values: system.run_sized(values, bytes_each), size)


def paced_second(system, size):
    """One second of a steady load of ``size`` tasks."""
    began = time.perf_counter()
    system.paced_second(size)
    return {"items": size, "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    serve(
        Raftwork(),
        by_submit=timed_by("run_by_submit"),
        by_executor=timed_by("run_by_executor"),
        by_batch=timed_by("run_by_batch"),
        first=timed_by("run_first"),
        sized_1024=sized(1024),
        sized_65536=sized(65536),
        first_for=lambda system, size: repeated(system.run_one_first, size),
        latency_rest=lambda system, size: repeated(system.run_one_by_rest, size),
        paced_second=paced_second,
    )
