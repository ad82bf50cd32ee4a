"""Moments as people date them."""

import datetime

import pytest

from raftwork._dates import optional_moment

BERLIN = datetime.timezone(datetime.timedelta(hours=1))


@pytest.mark.parametrize(
    "moment",
    [
        datetime.datetime(2026, 12, 24, 18, 0, 0, 123_999, tzinfo=BERLIN),
        datetime.datetime(2026, 12, 24, 17, 0, 0, 123_000, tzinfo=datetime.timezone.utc),
        "2026-12-24T18:00:00.123+01:00",
        "2026-12-24T17:00:00.123Z",
    ],
)
def test_a_moment_is_the_same_in_every_zone(moment: object) -> None:
    assert optional_moment(moment) == 1_798_131_600_123  # type: ignore[arg-type]


def test_no_moment_is_none() -> None:
    assert optional_moment(None) is None


@pytest.mark.parametrize(
    ("moment", "why"),
    [
        (datetime.datetime(2026, 12, 24, 18), "has no time zone"),
        ("2026-12-24T18:00:00", "has no time zone"),
        ("tomorrow", "is no date such as"),
        (datetime.datetime(1969, 12, 31, tzinfo=BERLIN), "before 1970"),
    ],
)
def test_what_is_no_moment_says_what_to_write(moment: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        optional_moment(moment)  # type: ignore[arg-type]
