"""Mailgun's dates: RFC 2822, rendered in UTC."""

import re
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

#: The dates that Python's lenient parser reads correctly.
_RFC_2822 = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ?)?[0-9]{1,2} "
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ([0-9]{4}) "
    r"[0-9]{2}:[0-9]{2}(?::[0-9]{2})? "
    r"(?:[+-][0-9]{4}|UTC?|GMT|Z|[ECMP][SD]T)",
    re.IGNORECASE,
)


def parse_date(text: str) -> int | None:
    """Return the instant of *text*; None if its year means "no date".

    :raises ValueError: if *text* is not a date, has no zone, or a year before 1900.

    Wire: mailgun-go sends year 1 for no date, which Python would read as 2001.
    """
    match = _RFC_2822.fullmatch(text.strip())
    if match is None:
        raise ValueError("not a date of RFC 2822 with a zone")
    year = int(match[1])
    if year == 1:
        return None
    if year < 1900:  # noqa: PLR2004 - RFC 2822, 3.3: no earlier year
        raise ValueError("a year before 1900")
    moment = parsedate_to_datetime(text.strip())
    if moment.tzinfo is None:  # "-0000": UTC, with an unknown local zone
        moment = moment.replace(tzinfo=timezone.utc)
    return round((moment - _EPOCH).total_seconds())


def render_date(instant: int) -> str:
    """Return *instant* in the form ``Thu, 13 Oct 2011 18:02:00 GMT``."""
    return format_datetime(_EPOCH + timedelta(seconds=instant), usegmt=True)
