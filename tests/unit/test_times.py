"""Times and durations as text."""

import re
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from conftest import NOW
from hypothesis import given
from hypothesis import strategies as st

from sendgrid_bounces.core.bounces import EARLIEST, LATEST
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.times import (
    DURATION_FORMS,
    NO_DATE_BEFORE,
    TIME_FORMS,
    parse_duration,
    parse_instant,
    parse_record_time,
    parse_time,
    render_instant,
)
from sendgrid_bounces.core.timezones import TimeZone
from tools.openapi.fields import TIME

TOKYO = TimeZone("Asia/Tokyo")


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2012-02-15", "2012-02-14 15:00:00"),
        ("2012-02-15 12:00:00", "2012-02-15 03:00:00"),
        ("2012-02-15 12:00", "2012-02-15 03:00:00"),
        ("2012-02-15T12:00:00", "2012-02-15 03:00:00"),
        ("2012-02-15T12:00:00Z", "2012-02-15 12:00:00"),
        ("2012-02-15t12:00:00z", "2012-02-15 12:00:00"),
        ("2012-02-15T12:00Z", "2012-02-15 12:00:00"),
        ("2012-02-15T12:00:00.999Z", "2012-02-15 12:00:00"),
        ("2012-02-15T12:00:00,5Z", "2012-02-15 12:00:00"),
        ("2012-02-15T12:00:00.000001+00:00", "2012-02-15 12:00:00"),
        ("2012-02-15 12:00:00+05:30", "2012-02-15 06:30:00"),
        ("2012-02-15T12:00:00-10:00", "2012-02-15 22:00:00"),
        ("2012-02-15T12:00:00+01", "2012-02-15 11:00:00"),
        ("2012-02-15 12:00:00 +0100", "2012-02-15 11:00:00"),
        ("2012-02-15 12:00:00 UTC", "2012-02-15 12:00:00"),
        ("0001-01-01T00:00:00-01:00", "0001-01-01 01:00:00"),
        ("1329307200", "2012-02-15 12:00:00"),
        ("1329307200.75", "2012-02-15 12:00:00"),
        ("-1", "1969-12-31 23:59:59"),
        ("Wed, 15 Feb 2012 12:00:00 GMT", "2012-02-15 12:00:00"),
        ("15 feb 2012 12:00 -0500", "2012-02-15 17:00:00"),
        ("Wed,15 Feb 2012 12:00:00 PDT", "2012-02-15 19:00:00"),
    ],
)
def test_each_form_of_a_time_is_parsed(text: str, utc: str) -> None:
    instant = parse_time(text, TOKYO)

    assert TimeZone().render(instant) == utc
    assert parse_time(f" {text} ", TOKYO) == instant
    assert re.match(TIME, text, re.IGNORECASE), "missing in the OpenAPI description"


@pytest.mark.parametrize(
    "text",
    [
        *("2012-02-30 00:00:00", "2012-02-30", "2012-02-01 24:00:00", "yesterday", ""),
        *("2012-02-15T12:00:00+24:00", "20120215T120000Z", "2012-02-15T12:00:00.Z"),
        *("2012-W07-3", "15 Feb 2012 12:00:00", "15 Feb 1899 12:00:00 GMT", "1e9"),
        *("31 Feb 2012 12:00:00 GMT", "15/02/2012", "1" * 13, "nan", "x" * 10_000),
        *("\u0661329307200", "2012-02-15 12:00:00 CET"),
    ],
)
def test_other_text_is_not_a_time(text: str) -> None:
    with pytest.raises(ValueError, match="must be a "):
        parse_time(text, TOKYO)


@pytest.mark.parametrize("time", [float("nan"), float("inf"), True, 1e300, b"1", [1]])
def test_other_objects_are_not_times(time: Any) -> None:
    with pytest.raises(ValueError, match="must be a time"):
        parse_time(time, TOKYO)


@pytest.mark.parametrize(
    "time",
    [
        *(NOW, NOW + 0.5, str(NOW)),
        datetime(2012, 2, 15, 12),
        datetime(2012, 2, 15, 12, 0, 0, 999_999, timezone.utc),
        datetime(2012, 2, 15, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_numbers_and_datetimes_are_times(time) -> None:
    assert parse_instant(time) == NOW


def test_date_is_its_first_instant() -> None:
    assert parse_time(date(2012, 2, 15), TOKYO) == NOW - 21 * 60 * 60


def test_first_form_that_matches_is_the_only_one() -> None:
    for form in TIME_FORMS:
        others = [each for each in TIME_FORMS if each.pattern.fullmatch(form.example)]

        assert others == [form]


@pytest.mark.parametrize(
    "time",
    [
        *("", None, "0001-01-01T00:00:00Z", "0001-01-01", "-62135596800"),
        *(
            "Mon, 01 Jan 0001 00:00:00 +0000",
            -62_135_596_800,
            "0001-12-31 23:59:59 -1000",
        ),
    ],
)
def test_year_1_means_no_date_in_a_record(time) -> None:
    """The zero time of Go."""
    assert parse_record_time(time, TOKYO) is None


@given(st.integers(NO_DATE_BEFORE, LATEST))
def test_rendered_instants_are_parsed_back(instant: int) -> None:
    """Exports and imports preserve every instant."""
    text = TimeZone().render(instant)

    assert instant == parse_time(text, TimeZone())
    assert instant == parse_record_time(render_instant(instant), TOKYO)
    assert instant == parse_record_time(instant, TOKYO)


@given(st.text())
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    try:
        instant = parse_time(text, TOKYO)
    except ValueError as error:
        assert str(error).startswith("must be a ")
    else:
        assert EARLIEST - 999_999_999_999 < instant < 10**12


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", 999_999_999_999])
def test_instant_must_be_in_the_range(time) -> None:
    with pytest.raises(ParametersError, match="created: the time must be from"):
        parse_instant(time, "created")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("PT0S", 0), ("PT1S", 1), ("PT90M", 5_400), ("PT1H", 3_600)),
        *(("P1D", 86_400), ("P1W", 604_800), ("P1W2DT3H4M5S", 788_645)),
        *(("P1DT12H", 129_600), ("1h30m", 5_400), ("2d", 172_800), ("1W", 604_800)),
        *(("90", 90), ("90s", 90), ("0", 0), (" 1h ", 3_600)),
    ],
)
def test_durations_are_parsed_to_seconds(text: str, seconds: int) -> None:
    """Each unit from weeks to seconds is optional."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "P", "PT", "P1Y", "PT" + "9" * 40 + "S", "30m1h", "1 h", "-1h", "1.5h"),
        *("1h30", "h", "\u0661"),
    ],
)
def test_invalid_durations_are_rejected(text: str) -> None:
    """The whole text must be a duration of bounded length."""
    with pytest.raises(ParametersError, match="must be a duration such as PT1H, 1h30m"):
        parse_duration(text)


def test_examples_of_durations_have_their_form() -> None:
    for example, pattern in DURATION_FORMS.items():
        assert pattern.fullmatch(example)
