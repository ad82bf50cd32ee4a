"""Ray core: a cluster of one machine, and the program that drives it."""

import os

import ray
from workload import System, serve


@ray.remote
def increment(x):
    """The function."""
    return x + 1


class Ray(System):
    def versions(self):
        return {"ray": ray.__version__}

    def __init__(self):
        slots = int(os.environ["BENCH_SLOTS"])
        ray.init(num_cpus=slots, include_dashboard=False, log_to_driver=False, _temp_dir=os.environ["BENCH_FOLDER"])

    def run_all(self, values):
        return ray.get([increment.remote(value) for value in values])

    def run_one(self, value):
        return ray.get(increment.remote(value))


if __name__ == "__main__":
    try:
        serve(Ray())
    finally:
        ray.shutdown()
