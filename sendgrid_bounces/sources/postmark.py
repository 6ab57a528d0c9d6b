"""Postmark: the bounce webhook."""

from collections.abc import Mapping

from sendgrid_bounces.sources.events import (
    MAX_KIND,
    Batch,
    EventError,
    Permanence,
    bounce_event,
    read_time,
)
from sendgrid_bounces.sources.payloads import load_object, text
from sendgrid_bounces.sources.status import find_code, find_status
from sendgrid_bounces.sources.verification import Secrets, verify_token

#: Bounce types that make an address invalid. Other types are blocks or retries.
_PERMANENT = {"HardBounce", "BadEmailAddress"}


def verify(body: bytes, headers: Mapping[str, str], secrets: Secrets, now: int) -> None:
    """Check the token: Postmark sends basic authentication or a custom header field.

    :raises SignatureError: if it is wrong or missing, or *secrets* is empty.
    """
    verify_token(headers, secrets.token)


def parse(body: bytes, headers: Mapping[str, str], now: int) -> Batch:
    """Return the event in *body*.

    :raises PayloadError: if *body* is not a JSON object.
    """
    record = load_object(body)
    if text(record, "RecordType") != "Bounce":
        return Batch(ignored={text(record, "RecordType")[:MAX_KIND] or "unknown": 1})
    kind, details = text(record, "Type"), text(record, "Details")
    number = text(record, "ID")
    try:
        event = bounce_event(
            record.get("Email"),
            status=find_status(details),
            code=find_code(details),
            reason=details.removeprefix("smtp;") or text(record, "Description"),
            created=read_time(record.get("BouncedAt"), now),
            key=f"postmark {number}" if number else "",
            permanence=Permanence.PERMANENT
            if kind in _PERMANENT
            else Permanence.NOT_LISTED,
            note="" if kind in _PERMANENT else kind or "unknown",
        )
    except EventError as error:
        return Batch(skipped=(str(error),))
    return Batch((event,))
