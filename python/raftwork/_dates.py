"""Moments as people date them: a ``datetime`` with a zone, or RFC 3339 text, as milliseconds since 1970."""

import datetime
from typing import Optional, Union

Moment = Union[datetime.datetime, str]


def optional_moment(moment: Optional[Moment]) -> Optional[int]:
    """Return a moment in whole milliseconds since 1970; raise ``ValueError`` for one without a zone, or before."""
    if moment is None:
        return None
    if isinstance(moment, str):
        moment = _parsed(moment)
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(
            f"{moment} has no time zone, so it is no moment; write datetime(..., tzinfo=timezone.utc), "
            "moment.astimezone() for this machine's zone, or zoneinfo.ZoneInfo('Europe/Berlin')"
        )
    since = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    if since < datetime.timedelta(0):
        raise ValueError(f"{moment} lies before 1970")
    # In whole numbers: a float has not the digits for it.
    return since // datetime.timedelta(milliseconds=1)


def _parsed(text: str) -> datetime.datetime:
    try:
        # Before 3.11 there was no Z.
        return datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise ValueError(f"{text!r} is no date such as 2026-12-24T18:00:00+01:00") from None
