"""Lengths of time as people write them: ``250ms``, ``30s``, ``5m``, ``2h``, ``7d``, or seconds as a number."""

import re
from typing import Optional, Union

Span = Union[str, int, float]

_UNITS = {"ms": 1, "": 1000, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)\s*")


def milliseconds(span: Span) -> int:
    """Return ``span`` in whole milliseconds; raise ``ValueError`` for what is no length of time."""
    if isinstance(span, (int, float)) and not isinstance(span, bool):
        if not 0 <= span < float("inf"):
            raise ValueError(f"{span} seconds is no length of time")
        return round(span * 1000)
    match = _FORM.fullmatch(str(span))
    if match is None:
        raise ValueError(f"{span!r} is not a length of time; write 250ms, 30s, 5m, 2h, 7d or a number of seconds")
    return round(float(match[1]) * _UNITS[match[2]])


def optional_milliseconds(span: Optional[Span]) -> Optional[int]:
    """As ``milliseconds``, passing ``None`` on."""
    return None if span is None else milliseconds(span)
