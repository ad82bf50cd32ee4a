"""What is measured of Raftwork itself, one file for each experiment."""

from typing import Dict

from . import cost, depth, end_to_end, fail_over, idle, latency, machine, push_pull, soak, submission
from .base import Experiment

_ALL = (end_to_end, submission, latency, push_pull, depth, fail_over, cost, idle, soak, machine)

EXPERIMENTS: Dict[str, Experiment] = {module.EXPERIMENT.name: module.EXPERIMENT for module in _ALL}

#: What runs when nothing is named.
DEFAULT = ("end-to-end", "latency", "cost", "idle")
