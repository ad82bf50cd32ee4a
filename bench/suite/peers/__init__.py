"""What Raftwork is measured beside, one file for each system, all with the interface of ``base``."""

from typing import List

from .base import Peer, Running
from .celery import celery_always, celery_defaults
from .dask import Dask
from .etcd import Etcd
from .huey import Huey
from .nats import Nats
from .ray import Ray
from .restate import Restate
from .rq import Rq

__all__ = ["Peer", "Running", "all_peers"]


def all_peers() -> List[Peer]:
    """Every peer, in the order of the table."""
    return [
        celery_defaults(),
        celery_always(),
        Huey(),
        Rq(),
        Dask(),
        Ray(),
        Restate(nodes=1),
        Restate(nodes=3),
        Etcd(),
        Nats(),
    ]
