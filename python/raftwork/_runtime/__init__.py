"""The Python side of a worker: the zygote and the children that run user functions.

The agent runs this folder by its path (``python .../raftwork/_runtime zygote CONFIG``), not by its
package name, because the package imports the SDK and its extension, and a child must start
without either. Only the standard library and dill may be imported here.
"""

import importlib


def load(*parts: str) -> None:
    """Import modules of this folder, each before those that use it.

    ``from raftwork._runtime import process`` asks for the package ``raftwork`` itself unless
    ``process`` is loaded already; this way it never does.
    """
    for part in parts:
        importlib.import_module(f"{__name__}.{part}")
