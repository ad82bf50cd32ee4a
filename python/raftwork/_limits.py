"""Limits by key: what a submit says of them, and the limits of the cluster."""

from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import quote

from ._pages import everything
from ._span import Span, milliseconds

if TYPE_CHECKING:
    from ._client import Client

Concurrency = Tuple[str, int]
"""Key, and the most tasks under it that are leased at a time."""
Rate = Tuple[str, int, int]
"""Key, the most tasks under it that start within a span, and that span in milliseconds."""


def concurrency_of(given: Optional[Mapping[str, Any]]) -> Optional[Concurrency]:
    """``{"key": "tenant-7", "max": 3}``, checked."""
    if not given:
        return None
    _check("concurrency", given, ("key", "max"))
    return str(given["key"]), _number("concurrency", given["max"])


def rate_of(given: Optional[Mapping[str, Any]]) -> Optional[Rate]:
    """``{"key": "api.example.com", "max": 100, "per": "1m"}``, checked."""
    if not given:
        return None
    _check("rate", given, ("key", "max", "per"))
    return str(given["key"]), _number("rate", given["max"]), milliseconds(given["per"])


def _check(what: str, given: Mapping[str, Any], names: Tuple[str, ...]) -> None:
    if not isinstance(given, Mapping) or set(given) != set(names):
        example = {"concurrency": '{"key": "tenant-7", "max": 3}', "rate": '{"key": "api", "max": 100, "per": "1m"}'}
        raise TypeError(f"{what}={given!r} is not a mapping with {', '.join(names)}, as in {example[what]}")


def _number(what: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"max of {what} is {given!r}, which is not a whole number")
    if not 1 <= given < 1 << 32:
        raise ValueError(f"max = {given} of {what} is not at least 1 (and below 2**32)")
    return given


class Limits:
    """The limits of a cluster: ``client.limits``.

    A limit is what the last submit under its key says, unless it was set here: that stands above what submits say.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client

    def list(self) -> List[Dict[str, Any]]:
        """Every limit that a live task names, that was set, or of which a start still counts; see ``/docs``."""
        return everything(self._client, "limits")

    def get(self, key: str, *, kind: str = "concurrency") -> Dict[str, Any]:
        """One limit, with who has the leases under it. ``kind`` is ``concurrency`` or ``rate``."""
        answer: Dict[str, Any] = self._client.rest("GET", _path(kind, key))
        return answer

    def set(self, key: str, *, max: int, per: Optional[Span] = None) -> Dict[str, Any]:
        """Set how many tasks under ``key`` are leased at a time; with ``per``, how many start within that span.

        0 holds all of them back. Tasks that have started are not stopped.
        """
        body: Dict[str, Any] = {"max": max}
        if per is not None:
            body["per"] = f"{milliseconds(per)}ms"
        answer: Dict[str, Any] = self._client.rest("PUT", _path("concurrency" if per is None else "rate", key), body)
        return answer

    def unset(self, key: str, *, kind: str = "concurrency") -> None:
        """Leave a limit to what submits say again."""
        self._client.rest("DELETE", _path(kind, key))


def _path(kind: str, key: str) -> str:
    return f"/v1/limits/{quote(kind, safe='')}/{quote(key, safe='')}"
