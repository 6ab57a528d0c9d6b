"""Mailgun: webhooks in JSON, and the legacy form."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qsl

from sendgrid_bounces.sources.events import (
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

MAX_FIELDS = 1_000

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
        kind = text(data or payload, "event")[:40] or "unknown"
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
    try:
        return parse_qsl(
            body.decode("utf-8", "replace"),
            keep_blank_values=True,
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise PayloadError(f"the form has more than {MAX_FIELDS} fields") from None


def _multipart(body: bytes, content_type: str) -> list[tuple[str, str]]:
    head = b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\n\n"
    try:
        message = BytesParser(policy=POLICY).parsebytes(head + body)
    except (RecursionError, ValueError) as error:
        raise PayloadError(f"the form cannot be read: {error}") from None
    pairs = []
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            pairs.append((name, value.decode("utf-8", "replace")))
    return pairs[:MAX_FIELDS]
