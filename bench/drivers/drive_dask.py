"""Dask distributed: a local cluster of two processes, and its client."""

import os

import distributed
from workload import System, serve


def increment(x):
    """The function."""
    return x + 1


class Dask(System):
    def versions(self):
        return {"distributed": distributed.__version__}

    def __init__(self):
        slots = int(os.environ["BENCH_SLOTS"])
        self._cluster = distributed.LocalCluster(
            n_workers=slots, threads_per_worker=1, processes=True, dashboard_address=None
        )
        self._client = distributed.Client(self._cluster)

    def run_all(self, values):
        return self._client.gather(self._client.map(increment, values, pure=False))

    def run_one(self, value):
        return self._client.submit(increment, value, pure=False).result()

    def close(self):
        self._client.close()
        self._cluster.close()


if __name__ == "__main__":
    system = Dask()
    try:
        serve(system)
    finally:
        system.close()
