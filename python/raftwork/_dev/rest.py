"""The few REST calls that starting and watching a cluster needs, by the standard library alone."""

import json
import urllib.error
import urllib.request
from typing import Any, List, Optional

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PROBE = {"name": "ready", "format": "source", "code": "def ready():\n    return True\n"}


def call(url: str, body: Optional[Any] = None, timeout: float = 5.0) -> Any:
    """GET, or POST with a JSON body; raises OSError if there is no good answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
    with _DIRECT.open(request, timeout=timeout) as answer:
        return json.loads(answer.read() or b"null")


def is_ready(url: str) -> bool:
    """Whether the node says that it can serve."""
    try:
        return bool(call(f"{url}/readyz", timeout=1.0)["ready"])
    except (OSError, ValueError, KeyError):
        return False


def commit_a_write(url: str) -> bool:
    """Whether the cluster acknowledges a write: the proof that a majority works."""
    try:
        return bool(call(f"{url}/v1/functions", _PROBE)["function_id"])
    except (OSError, ValueError, KeyError):
        return False


def leader(urls: List[str]) -> Optional[int]:
    """Number of the leading node, as the first node that answers knows it."""
    for url in urls:
        try:
            known = call(f"{url}/v1/cluster", timeout=1.0)["leader"]
        except (OSError, ValueError, KeyError):
            continue
        if known is not None:
            return int(known)
    return None
