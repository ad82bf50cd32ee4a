"""What people want to know of a task under way: its output as it comes, and why it does not run."""

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple

from ._warn import warn
from .errors import ClusterError, NoWorkerWarning

if TYPE_CHECKING:
    from ._client import Client
    from ._handle import Handle

#: Seconds that a caller waits for a result before it is told why there is none yet, if there is a reason.
PATIENCE = 5.0
#: Seconds between two looks at the output of a task that runs.
LOOK_EVERY = 0.5


def read_logs(handle: "Handle[Any]") -> List[Tuple[int, str]]:
    """The output so far: pairs of an attempt's token and its text."""
    attempts = handle._client.rest("GET", f"/v1/tasks/{handle.id}/logs")["attempts"]
    return [(attempt["token"], attempt["stdout"] + attempt["stderr"]) for attempt in attempts]


def follow_logs(handle: "Handle[Any]") -> Iterator[str]:
    """The output as it comes, until the task has ended."""
    shown: Dict[int, int] = {}
    while True:
        # Before the output is read: what came before the end is then seen.
        over = handle.ready()
        for token, text in read_logs(handle):
            seen = shown.get(token, 0)
            if len(text) > seen:
                yield text[seen:]
                shown[token] = len(text)
        if over:
            return
        handle._wait_quietly(LOOK_EVERY)


def why(explanation: Dict[str, Any]) -> str:
    """One sentence on why a task is where it is, and what to do about it if something can be done."""
    hint = explanation.get("hint")
    return str(explanation["detail"]) + (f"; {hint}" if hint else "")


def waiting_reason(handle: "Handle[Any]") -> Optional[str]:
    """What keeps a task from starting, beyond its turn; ``None`` if nothing does or nobody can be asked."""
    try:
        reason = handle.info().get("waiting_for")
    except ClusterError:
        return None
    return None if reason is None else str(reason)


def say_why_waiting(handle: "Handle[Any]") -> None:
    """Tell whoever waits at a terminal or reads a log."""
    reason = waiting_reason(handle)
    if reason is not None:
        print(f"raftwork: task {handle.id} waits: {reason}", file=sys.stderr, flush=True)


def warn_without_worker(client: "Client") -> None:
    """Warn if there are workers, and all have another Python than this one: its pickles would crash theirs."""
    try:
        workers = client.rest("GET", "/v1/workers")["workers"]
    except (ClusterError, KeyError):
        # Not worth an error: whoever waits for the task is told what it waits for.
        return
    mine = "{}.{}".format(*sys.version_info[:2])
    found = Counter(worker["python"] for worker in workers)
    if found and mine not in found:
        described = ", ".join(f"{python} x{count}" for python, count in sorted(found.items()))
        warn(
            f"no worker has Python {mine} (workers: {described}); what is submitted here waits until one does. "
            f"Pickled code of one version crashes another: run this script with a Python of the workers, or start a "
            f"worker with this one: {sys.executable} -m raftwork worker",
            NoWorkerWarning,
        )
