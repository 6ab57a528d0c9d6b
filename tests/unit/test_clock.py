"""Time: days begin where the zone says, and every instant has one time of day."""

import re
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendgrid_bounces.core.bounces import EARLIEST, LATEST
from sendgrid_bounces.core.clock import Clock, WallClock
from sendgrid_bounces.core.errors import ParametersError
from tools.openapi.fields import TIME

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
def test_an_instant_reads_as_python_says(instant: int, zone: str) -> None:
    """What is remembered of offsets and hours never shows."""
    local = (EPOCH + timedelta(seconds=instant)).astimezone(ZoneInfo(zone))
    expected = local.replace(tzinfo=None).isoformat(" ", "seconds")

    assert expected == WallClock(zone).render(instant)


@given(st.lists(st.integers(-2_000_000_000, 2_000_000_000)), ZONES)
def test_a_clock_that_remembers_reads_as_a_new_one(
    instants: list[int], zone: str
) -> None:
    """Neighbours in a list share what is remembered."""
    clock = WallClock(zone)

    for instant in [near + d for near in instants for d in (0, 899, 900, 3600)]:
        assert WallClock(zone).render(instant) == clock.render(instant)


def test_an_offset_can_change_at_any_second() -> None:
    """Monrovia's did, 44 minutes and a half after midnight of 1972-01-07."""
    clock = WallClock("Africa/Monrovia")
    change = WallClock().parse("1972-01-07 00:44:30")

    assert [clock.render(change + second) for second in (-1, 0, -1)] == [
        "1972-01-06 23:59:59",
        "1972-01-07 00:44:30",
        "1972-01-06 23:59:59",
    ]


@given(st.integers(EARLIEST, LATEST))
def test_what_is_rendered_in_utc_is_parsed_back(instant: int) -> None:
    """Exports and imports keep every instant."""
    text = WallClock().render(instant)

    assert instant == WallClock().parse(text)
    assert instant == WallClock("Asia/Tokyo").parse(text.replace(" ", "T") + "Z")


@given(st.dates(date(1, 1, 2), date(9999, 12, 30)), ZONES)
def test_days_follow_each_other_without_gap(day: date, zone: str) -> None:
    """The first instant after a day is the first of the next one."""
    clock = WallClock(zone)

    assert clock.day_end(day) == clock.day_start(day + timedelta(days=1))
    assert clock.day_start(day) <= clock.day_end(day)


@given(st.integers(0, 4_000_000_000), ZONES)
def test_now_falls_into_today(now: int, zone: str) -> None:
    """Today begins no later than now, and ends after it."""
    clock = WallClock(zone)
    today = clock.today(now)

    assert clock.day_start(today) <= now < clock.day_end(today)


def test_the_calendar_ends() -> None:
    """The last day that can be named has no end."""
    assert WallClock().day_end(date.max) is None


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2012-02-15T12:00:00", "2012-02-15 03:00:00"),
        ("2012-02-15T12:00:00Z", "2012-02-15 12:00:00"),
        ("2012-02-15T12:00:00.999Z", "2012-02-15 12:00:00"),
        ("2012-02-15T12:00:00.000001+00:00", "2012-02-15 12:00:00"),
        ("2012-02-15 12:00:00+05:30", "2012-02-15 06:30:00"),
        ("2012-02-15T12:00:00-10:00", "2012-02-15 22:00:00"),
        ("0001-01-01T00:00:00-01:00", "0001-01-01 01:00:00"),
    ],
)
def test_a_time_may_say_its_offset(text: str, utc: str) -> None:
    """As Python's ``isoformat`` and JavaScript's ``toISOString`` write it."""
    instant = WallClock("Asia/Tokyo").parse(text)

    assert WallClock().render(instant) == utc
    assert re.match(TIME, text), "so OpenAPI describes it"


@pytest.mark.parametrize(
    "text",
    [
        *("2012-02-30 00:00:00", "2012-02-01", "2012-02-01 24:00:00", "yesterday", ""),
        *("2012-02-15T12:00:00+24:00", "2012-02-15T12:00:00+01", "2012-02-15T12:00Z"),
        *("2012-02-15T12:00:00 Z", "20120215T120000Z", "2012-02-15T12:00:00.Z"),
        "2012-W07-3",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """A time is a real one, to the second."""
    with pytest.raises(ValueError, match="."):
        WallClock().parse(text)


@pytest.mark.parametrize(
    "zone", ["Mars/Phobos", "", "../../etc/passwd", "a" * 99, "UTC\0"]
)
def test_an_unknown_zone_is_refused(zone: str) -> None:
    """A zone is one of the IANA database."""
    with pytest.raises(ParametersError, match="time zone"):
        WallClock(zone)


def test_the_system_clock_ticks_in_seconds() -> None:
    """An instant is a whole number of seconds."""
    assert abs(Clock().now() - datetime.now(timezone.utc).timestamp()) < 60
