"""Mailgun: webhooks in JSON, and the legacy form."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from email.parser import BytesParser
from typing import Any

from sendgrid_bounces.core.charsets import forget_unknown_charsets
from sendgrid_bounces.core.forms import MAX_BOUNDARY, decode_form_text
from sendgrid_bounces.sources.events import (
    MAX_KIND,
    Batch,
    BounceEvent,
    EventError,
    Permanence,
    bounce_event,
    clean_code,
    clean_status,
    read_time,
)
from sendgrid_bounces.sources.mime import POLICY
from sendgrid_bounces.sources.payloads import load_object, section, text
from sendgrid_bounces.sources.status import find_status
from sendgrid_bounces.sources.verification import (
    PayloadError,
    Secrets,
    SignatureError,
    check_age,
    find_header,
    is_same,
    read_timestamp,
)

#: Fields of a form, and bytes of the head of a part.
MAX_FIELDS, MAX_HEAD = 1_000, 2_000

#: The line between two parts, without its end, for a boundary.
_DELIMITER = rb"(?:\A|\r?\n)--%s(?:--)?[ \t]*(?=\r?\n|\Z)"
_HEAD_END = re.compile(rb"\n\r?\n")

#: The name of a part, after other parameters. The email package takes quadratic time.
_NAME = re.compile(
    rb"""
    ^content-disposition [ \t]*:
    (?: [^"\n] | \n[ \t] | "(?:[^"\\\n]|\\.)*" )*?
    ; \s* name [ \t]*=[ \t]*
    (?: "(?P<quoted> (?:[^"\\\n]|\\.)* )" | (?P<plain> [^\s;"]* ) )
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)

#: Codes of Mailgun's own for addresses that it did not try.
_SUPPRESSED_BOUNCE, _SUPPRESSED = "605", {"605", "607"}

_HEX = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


def verify(body: bytes, headers: Mapping[str, str], secrets: Secrets, now: int) -> None:
    """Check the HMAC of timestamp and token, which stand in *body*.

    The HMAC does not cover the event: the token is the event's key, so that a captured
    signature cannot carry another event. Tokens are kept for a limited time, so older
    signatures are rejected.

    :raises SignatureError: if it does not match or is too old, or *secrets* has no key.
    :raises PayloadError: if *body* cannot be read.
    """
    if not secrets.key:
        raise SignatureError("the source has no secret to verify requests with")
    timestamp, token, signature = _signature(_load(body, headers))
    if not timestamp or not token or not _HEX.fullmatch(signature):
        raise SignatureError("the signature, its token or its timestamp is missing")
    signed = (timestamp + token).encode("utf-8", "surrogateescape")
    expected = hmac.new(secrets.key.encode(), signed, hashlib.sha256).hexdigest()
    if not is_same(signature.lower(), expected):
        raise SignatureError("the signature does not match the timestamp and token")
    check_age(read_timestamp(timestamp), now)


def parse(body: bytes, headers: Mapping[str, str], now: int) -> Batch:
    """Return the event in *body*.

    :raises PayloadError: if *body* cannot be read.
    """
    payload = _load(body, headers)
    token = _signature(payload)[1]
    key = f"mailgun {token}" if token else ""
    data = section(payload, "event-data")
    try:
        event = _event(data, key, now) if data else _legacy_event(payload, key, now)
    except EventError as error:
        return Batch(skipped=(str(error),), token=key)
    if event is None:
        kind = text(data or payload, "event")[:MAX_KIND] or "unknown"
        return Batch(ignored={kind: 1}, token=key)
    return Batch((event,), token=key)


def _event(data: Mapping[str, Any], key: str, now: int) -> BounceEvent | None:
    if text(data, "event") != "failed":
        return None
    status = section(data, "delivery-status")
    message, code = text(status, "message"), text(status, "code")
    note = _unlisted(data, code)
    enhanced = clean_status(text(status, "enhanced-code")) or clean_status(
        text(status, "bounce-code")
    )
    return _bounce(
        text(data, "recipient"),
        status=enhanced or find_status(message),
        code=code,
        reason=message or text(status, "description"),
        created=read_time(data.get("timestamp"), now),
        key=key,
        note=note,
    )


def _unlisted(data: Mapping[str, Any], code: str) -> str:
    """Return why Mailgun does not list the recipient; an empty text if it does."""
    severity, reason = text(data, "severity"), text(data, "reason")
    is_delayed = section(data, "flags").get("is-delayed-bounce") is True
    if severity != "permanent":
        return severity or "temporary"
    if reason in {"bounce", "suppress-bounce"} or (reason == "generic" and is_delayed):
        return ""
    return reason or f"code {code}"


def _legacy_event(form: Mapping[str, Any], key: str, now: int) -> BounceEvent | None:
    kind, code = text(form, "event"), text(form, "code")
    reason = text(form, "error", "notification", "description")
    note = ""
    if kind == "dropped":
        note = "" if code == _SUPPRESSED_BOUNCE else text(form, "reason") or "dropped"
    elif kind != "bounced":
        return None
    return _bounce(
        text(form, "recipient"),
        status=clean_status(code) or find_status(reason),
        code=code,
        reason=reason,
        created=read_time(text(form, "timestamp"), now),
        key=key,
        note=note,
    )


def _bounce(
    email: str,
    *,
    status: str,
    code: str,
    reason: str,
    created: int,
    key: str,
    note: str,
) -> BounceEvent:
    if code == "498" and "no mx" in reason.lower():
        status = status or "5.4.4"
    return bounce_event(
        email,
        status=status,
        code="550" if code in _SUPPRESSED else clean_code(code),
        reason=reason,
        created=created,
        key=key,
        permanence=Permanence.NOT_LISTED if note else None,
        note=note,
        only_if_unknown=code == _SUPPRESSED_BOUNCE,
    )


def _signature(payload: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the timestamp, the token and the signature."""
    signature = payload.get("signature")
    place = signature if isinstance(signature, dict) else payload
    return text(place, "timestamp"), text(place, "token"), text(place, "signature")


def _load(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON object or the form fields in *body*.

    Mailgun merges a mail's variables into the form: the first value of a field is
    Mailgun's, except that the signature comes last.
    """
    content_type = find_header(headers, "Content-Type").lower()
    if content_type.startswith("application/x-www-form-urlencoded"):
        pairs = _urlencoded(body)
    elif content_type.startswith("multipart/form-data"):
        pairs = _multipart(body, find_header(headers, "Content-Type"))
    else:
        return load_object(body)
    last = {
        name: value
        for name, value in pairs
        if name in {"timestamp", "token", "signature"}
    }
    return dict(reversed(pairs)) | last


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    pieces = _bounded(body.split(b"&", MAX_FIELDS))
    pairs = [piece.partition(b"=")[::2] for piece in pieces if piece]
    return [(_decode(name), _decode(value)) for name, value in pairs]


def _decode(encoded: bytes) -> str:
    return decode_form_text(encoded).decode("utf-8", "replace")


def _multipart(body: bytes, content_type: str) -> list[tuple[str, str]]:
    """Return the fields of a form, whose parts do not nest.

    The form is read before it is verified, so the time is linear in its length.
    """
    try:
        return _read_parts(body, content_type)
    except PayloadError:
        raise
    except (LookupError, ValueError, TypeError):  # of a parameter's encoding
        raise PayloadError("the form has a header field that cannot be read") from None
    finally:
        forget_unknown_charsets()


def _read_parts(body: bytes, content_type: str) -> list[tuple[str, str]]:
    head = b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\n\n"
    message = BytesParser(policy=POLICY).parsebytes(head)
    boundary = (message.get_boundary() or "").encode("utf-8", "replace")
    if not 0 < len(boundary) <= MAX_BOUNDARY:
        raise PayloadError("the form has no valid boundary")
    delimiter = _DELIMITER % re.escape(boundary)
    _, *parts = re.split(delimiter, body, maxsplit=MAX_FIELDS + 1)
    return [pair for part in _bounded(parts) if (pair := _field(part))]


def _field(part: bytes) -> tuple[str, str] | None:
    """Return the name and the value of a part; None if it has no name."""
    end = _HEAD_END.search(part, 0, MAX_HEAD)
    if end is None:
        return None
    match = _NAME.search(part, 0, end.end())
    if match is None:
        return None
    name = match["plain"] if match["quoted"] is None else match["quoted"]
    value = part[end.end() :]
    return name.decode("utf-8", "replace"), value.decode("utf-8", "replace")


def _bounded(fields: list[bytes]) -> list[bytes]:
    if len(fields) > MAX_FIELDS:
        raise PayloadError(f"the form has more than {MAX_FIELDS} fields")
    return fields
