"""Time zones: rendering, parsing and the limits of days."""

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendgrid_bounces.core.bounces import EARLIEST, LATEST
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.times import parse_time
from sendgrid_bounces.core.timezones import TimeZone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
ZONES = st.sampled_from(
    [
        "UTC",
        "Asia/Tokyo",
        "America/Sao_Paulo",
        "Asia/Kathmandu",
        "Africa/Monrovia",
        "Australia/Lord_Howe",
        "Europe/Dublin",
        "Pacific/Apia",
        "Europe/Amsterdam",
    ]
)


@given(st.integers(EARLIEST, LATEST), ZONES)
def test_instants_are_rendered_like_datetimes(instant: int, zone: str) -> None:
    """The caches of offsets and hours do not change the result."""
    local = (EPOCH + timedelta(seconds=instant)).astimezone(ZoneInfo(zone))
    expected = local.replace(tzinfo=None).isoformat(" ", "seconds")

    assert expected == TimeZone(zone).render(instant)


@given(st.lists(st.integers(-2_000_000_000, 2_000_000_000)), ZONES)
def test_filled_caches_render_like_empty_ones(instants: list[int], zone: str) -> None:
    """Neighbours in a list share cached hours."""
    time_zone = TimeZone(zone)

    for instant in [near + d for near in instants for d in (0, 899, 900, 3600)]:
        assert TimeZone(zone).render(instant) == time_zone.render(instant)


def test_offset_may_change_at_any_second() -> None:
    """Monrovia changed its offset at 00:44:30 UTC on 1972-01-07."""
    monrovia = TimeZone("Africa/Monrovia")
    change = parse_time("1972-01-07 00:44:30", TimeZone())

    assert [monrovia.render(change + second) for second in (-1, 0, -1)] == [
        "1972-01-06 23:59:59",
        "1972-01-07 00:44:30",
        "1972-01-06 23:59:59",
    ]


@given(st.dates(date(1, 1, 2), date(9999, 12, 30)), ZONES)
def test_each_day_ends_where_the_next_begins(day: date, zone: str) -> None:
    """Days have neither gaps nor overlaps."""
    time_zone = TimeZone(zone)

    assert time_zone.day_end(day) == time_zone.day_starts[day + timedelta(days=1)]
    assert time_zone.day_starts[day] <= time_zone.day_end(day)


@given(st.integers(0, 4_000_000_000), ZONES)
def test_today_contains_now(now: int, zone: str) -> None:
    """Today begins at or before now and ends later."""
    time_zone = TimeZone(zone)
    today = time_zone.today(now)

    assert time_zone.day_starts[today] <= now < time_zone.day_end(today)


def test_last_day_has_no_end() -> None:
    """The calendar of Python ends there."""
    assert TimeZone().day_end(date.max) is None


@pytest.mark.parametrize(
    "zone", ["Mars/Phobos", "", "../../etc/passwd", "a" * 99, "UTC\0"]
)
def test_unknown_zones_are_rejected(zone: str) -> None:
    """Only names in the IANA database are valid."""
    with pytest.raises(ParametersError, match="time zone"):
        TimeZone(zone)
