"""Raftwork runs Python functions on a cluster that does not lose them."""

from ._context import Task, TaskTimeout

__all__ = ["Task", "TaskTimeout"]
