"""Times and durations as text: one table of accepted forms for each."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from sendgrid_bounces.core.bounces import EARLIEST, INSTANT_RANGE, LATEST
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.messages import got
from sendgrid_bounces.core.timezones import DAY, HOUR, TimeZone, time_zone

#: A point in time: text, seconds since 1970, a datetime, or a date: its beginning.
Time = str | float | date

#: Longest text of a time or a duration.
MAX_TIME_LENGTH, MAX_DURATION_LENGTH = 64, 32

#: Earlier instants mean "no date" in data of clients: the zero time of Go is in year 1.
NO_DATE_BEFORE = -62_104_060_800 + DAY

#: RFC 2822, section 3.3.
FIRST_RFC_2822_YEAR = 1900

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905 - shorter

#: The hours of the zone names in RFC 2822, section 4.3.
_ZONE_NAMES = dict.fromkeys(("z", "ut", "utc", "gmt"), 0) | {
    f"{letter}{kind}t": hours + (kind == "d")
    for letter, hours in {"e": -5, "c": -6, "m": -7, "p": -8}.items()
    for kind in "sd"
}


@dataclass(frozen=True, slots=True)
class TimeForm:
    """A form of a time.

    :param read: returns the instant of a match in a zone; raises ValueError.
    """

    name: str
    example: str
    pattern: "re.Pattern[str]"
    read: Callable[["re.Match[str]", TimeZone], int]


def parse_time(time: Time, zone: TimeZone) -> int:
    """Return the instant of *time*, in one of :data:`TIME_FORMS`.

    :param zone: the zone of a time without one. Fractions of a second are dropped.
    :raises ValueError: if *time* has another form, or is not a real time.
    """
    if isinstance(time, datetime):
        return zone.instant(time)
    text = time.isoformat() if isinstance(time, date) else str(time).strip()
    is_time = isinstance(time, str | int | float | date) and not isinstance(time, bool)
    if is_time and len(text) <= MAX_TIME_LENGTH:
        for form in TIME_FORMS:
            if match := form.pattern.fullmatch(text):
                return _read_form(form, match, zone)
    examples = ", ".join(form.example for form in TIME_FORMS[:3])
    raise ValueError(f"must be a time such as {examples}")


def parse_record_time(time: Time | None, zone: TimeZone) -> int | None:
    """Return the instant of *time*; None if it is empty or means "no date".

    :raises ValueError: if *time* is neither empty nor a time.
    """
    if time is None or time == "":
        return None
    instant = parse_time(time, zone)
    return None if instant < NO_DATE_BEFORE else instant


def parse_instant(time: Time, name: str = "instant") -> int:
    """Return the instant of *time*, in UTC unless it has a zone.

    :param name: the name of the argument, for the error.
    :raises ParametersError: if *time* is not a time, or out of range.
    """
    try:
        return check_instant(parse_time(time, time_zone("UTC")), name)
    except ValueError as error:
        raise ParametersError([(name, f"{error}{got(time)}")]) from None


def parse_rfc_2822(text: str) -> int:
    """Return the instant of a date such as ``Thu, 13 Oct 2011 18:02:00 GMT``.

    :raises ValueError: if *text* has another form, no zone, or a year from 2 to 1899.
    """
    match = _RFC_2822.fullmatch(text)
    if match is None:
        raise ValueError("must be a date of RFC 2822 with a zone")
    return _read_rfc_2822(match)


def check_instant(instant: int, name: str) -> int:
    """Check that *instant* is one that a bounce can have, and return the same.

    :param name: the argument that an error is about.
    :raises ParametersError: if *instant* is out of range.
    """
    if not EARLIEST <= instant <= LATEST:
        raise ParametersError([(name, f"the time must be {INSTANT_RANGE}")])
    return instant


def render_instant(instant: int) -> str:
    """Return *instant* as ``YYYY-MM-DDTHH:MM:SSZ``."""
    return time_zone("UTC").render(instant).replace(" ", "T") + "Z"


def parse_milliseconds(text: str) -> int:
    """Return the milliseconds since 1970 of :func:`render_milliseconds`."""
    instant, _, fraction = text.removesuffix("Z").partition(".")
    return parse_instant(f"{instant}Z") * 1_000 + int(fraction)


def render_milliseconds(milliseconds: int) -> str:
    """Return milliseconds since 1970 as ``YYYY-MM-DDTHH:MM:SS.mmmZ``."""
    instant, rest = divmod(milliseconds, 1_000)
    return f"{render_instant(instant)[:-1]}.{rest:03}Z"


def render_optional(instant: int | None) -> str | None:
    """Return *instant* as text, or None."""
    return None if instant is None else render_instant(instant)


def parse_duration(text: str) -> int:
    """Return the seconds of a duration such as ``PT1H``, ``1h30m``, ``2d`` or ``90``.

    Years and months are not accepted, because their length varies.

    :raises ParametersError: if *text* has another form.
    """
    text = text.strip()
    if len(text) <= MAX_DURATION_LENGTH:
        for pattern in DURATION_FORMS.values():
            if match := pattern.fullmatch(text):
                return sum(
                    int(digits or 0) * unit
                    for digits, unit in zip(match.groups(), _UNITS, strict=True)
                )
    examples = ", ".join(DURATION_FORMS)
    problem = f"must be a duration such as {examples}{got(text)}"
    raise ParametersError([("duration", problem)])


def _read_form(form: TimeForm, match: "re.Match[str]", zone: TimeZone) -> int:
    try:
        return form.read(match, zone)
    except (ValueError, OverflowError, KeyError) as error:
        reason = "no such date" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"must be a real time: {reason}") from None


def _read_stamp(match: "re.Match[str]", zone: TimeZone) -> int:
    day, time, offset = match.groups()
    text = f"{day} {time}"
    moment = datetime.fromisoformat(text)
    return zone.instant(moment.replace(tzinfo=_offset(offset)) if offset else moment)


def _read_date(match: "re.Match[str]", zone: TimeZone) -> int:
    return zone.day_starts[date.fromisoformat(match[0])]


def _read_unix(match: "re.Match[str]", _zone: TimeZone) -> int:
    return int(match[1])


def _read_rfc_2822(match: "re.Match[str]", _zone: TimeZone | None = None) -> int:
    day, month, year, hour, minute, second, offset = match.groups()
    if 1 < int(year) < FIRST_RFC_2822_YEAR:
        raise ValueError(f"the year is before {FIRST_RFC_2822_YEAR}")
    moment = datetime(
        int(year),
        _MONTHS.index(month.lower()) + 1,
        int(day),
        int(hour),
        int(minute),
        int(second or 0),
        tzinfo=_offset(offset),
    )
    return time_zone("UTC").instant(moment)


def _offset(text: str) -> timezone:
    """Return the zone of ``Z``, ``+01:00``, ``-0100``, ``+01``, ``GMT`` or ``EST``."""
    hours = _ZONE_NAMES.get(text.lower())
    if hours is not None:
        return timezone(timedelta(hours=hours))
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-offset if text[0] == "-" else offset)


#: A date of RFC 2822. Its weekday is not checked.
_RFC_2822 = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ?)?([0-9]{1,2}) "
    r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ([0-9]{4}) "
    r"([0-9]{2}):([0-9]{2})(?::([0-9]{2}))? "
    r"([+-][0-9]{4}|UTC?|GMT|Z|[ECMP][SD]T)",
    re.IGNORECASE,
)

#: The accepted forms of times, in the order in which they are tried.
TIME_FORMS: tuple[TimeForm, ...] = (
    TimeForm(
        "date and time, with or without a zone",
        "2012-02-15 12:00:00",
        re.compile(
            r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ Tt]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)"
            r"(?:[.,][0-9]{1,9})? ?([Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?"
        ),
        _read_stamp,
    ),
    TimeForm(
        "Unix seconds",
        "1329307200",
        re.compile(r"(-?[0-9]{1,12})(?:\.[0-9]{1,9})?"),
        _read_unix,
    ),
    TimeForm(
        "date", "2012-02-15", re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}"), _read_date
    ),
    TimeForm("RFC 2822", "Wed, 15 Feb 2012 12:00:00 GMT", _RFC_2822, _read_rfc_2822),
)

#: The accepted forms of durations, by their examples.
DURATION_FORMS: "dict[str, re.Pattern[str]]" = {
    "PT1H": re.compile(
        r"P(?=.)(?:([0-9]+)W)?(?:([0-9]+)D)?"
        r"(?:T(?=.)(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?"
    ),
    "1h30m": re.compile(
        r"(?=.)(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?",
        re.IGNORECASE,
    ),
    "90": re.compile("()()()()([0-9]+)"),
}

#: The seconds of each group in the patterns of durations.
_UNITS = (7 * DAY, DAY, HOUR, 60, 1)
