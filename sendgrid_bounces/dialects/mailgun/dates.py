"""Mailgun's dates: RFC 2822, rendered in UTC."""

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

from sendgrid_bounces.core.times import NO_DATE_BEFORE, parse_rfc_2822

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def parse_date(text: str) -> int | None:
    """Return the instant of *text*; None if its year means "no date".

    :raises ValueError: if *text* is not a date, has no zone, or a year before 1900.

    Wire: mailgun-go sends year 1 for no date.
    """
    instant = parse_rfc_2822(text.strip())
    return None if instant < NO_DATE_BEFORE else instant


def render_date(instant: int) -> str:
    """Return *instant* in the form ``Thu, 13 Oct 2011 18:02:00 GMT``."""
    return format_datetime(_EPOCH + timedelta(seconds=instant), usegmt=True)
