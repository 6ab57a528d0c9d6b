"""SendGrid: the Event Webhook."""

import base64
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sendgrid_bounces.sources.events import (
    MAX_KIND,
    Batch,
    BounceEvent,
    EventError,
    Permanence,
    bounce_event,
    clean_code,
    read_time,
)
from sendgrid_bounces.sources.payloads import MAX_EVENTS, load_json, text
from sendgrid_bounces.sources.status import find_code, find_status
from sendgrid_bounces.sources.verification import (
    PayloadError,
    SecretError,
    Secrets,
    SignatureError,
    check_age,
    find_header,
    read_timestamp,
    verify_token,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"

_PEM_LINE = re.compile("-----[A-Z ]{1,40}-----")

#: Types of ``bounce`` events. SendGrid keeps blocks apart and goes on sending to them.
_UNLISTED_TYPES = {"blocked", "expired"}


def verify(body: bytes, headers: Mapping[str, str], secrets: Secrets, now: int) -> None:
    """Check the signature over the timestamp and the raw *body*, and the bearer token.

    SendGrid repeats a request for 24 hours.

    :raises SignatureError: if a check fails, the signature is older than 48 hours, or
        *secrets* is empty.
    :raises SecretError: if the key is invalid.
    """
    if secrets.token or not secrets.key:
        verify_token(headers, secrets.token)
    if secrets.key:
        _verify_signature(body, headers, secrets.key)
        check_age(read_timestamp(find_header(headers, TIMESTAMP)), now)


def parse(body: bytes, headers: Mapping[str, str], now: int) -> Batch:
    """Return the events in *body*: a JSON array of events, or one event.

    :raises PayloadError: if *body* is neither, or has too many events.
    """
    elements = load_json(body)
    if isinstance(elements, dict):
        elements = [elements]
    if not isinstance(elements, list):
        raise PayloadError("the body must be a JSON array of events")
    if len(elements) > MAX_EVENTS:
        raise PayloadError(f"the body has more than {MAX_EVENTS} events")
    events, skipped, ignored = [], [], Counter[str]()
    for number, element in enumerate(elements):
        try:
            event = read_event(element, now)
        except EventError as error:
            skipped.append(f"event {number}: {error}")
            continue
        if event:
            events.append(event)
        else:
            ignored[element["event"][:MAX_KIND]] += 1
    return Batch(tuple(events), ignored, tuple(skipped))


def read_event(element: Any, now: int) -> BounceEvent | None:
    """Return the bounce event of *element*; None if it is not about a failed delivery.

    Only ``email`` and ``event`` are required.

    :raises EventError: if either is missing or invalid.
    """
    if not isinstance(element, dict):
        raise EventError("must be an object")
    kind = element.get("event")
    if not isinstance(kind, str) or not kind:
        raise EventError("event: must be text")
    if kind == "bounce":
        return _bounce(element, now)
    if kind == "deferred":
        return _event(element, now, note="deferred")
    if kind == "dropped" and text(element, "reason") == "Bounced Address":
        return _event(element, now, status="5.0.0", only_if_unknown=True)
    return None


def _bounce(element: Mapping[str, Any], now: int) -> BounceEvent:
    kind = text(element, "type").lower()
    return _event(element, now, note=kind if kind in _UNLISTED_TYPES else "")


def _event(
    element: Mapping[str, Any],
    now: int,
    *,
    status: str = "",
    note: str = "",
    only_if_unknown: bool = False,
) -> BounceEvent:
    reason = text(element, "reason", "response")
    given = text(element, "status")  # x.y.z, or a reply code in old payloads
    code = clean_code(reason[:3]) or clean_code(given) or find_code(reason)
    status = find_status(given) or find_status(reason) or status
    return bounce_event(
        element.get("email"),
        status=status,
        code=code,
        reason=reason,
        created=read_time(element.get("timestamp"), now),
        key=_key(element),
        permanence=Permanence.NOT_LISTED if note else None,
        note=note,
        only_if_unknown=only_if_unknown,
    )


def _key(element: Mapping[str, Any]) -> str:
    """Return a key that repeats share; ``sg_event_id`` can differ between them."""
    fields = ("email", "event", "type", "timestamp", "reason")
    return "sendgrid " + " ".join(text(element, name) for name in fields).lower()


def load_key(text: str) -> "EllipticCurvePublicKey":
    """Return the public key that SendGrid shows as base64; also in PEM.

    :raises SecretError: if it is not a key on an elliptic curve.
    """
    # An optional dependency, and slow to import.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    encoded = "".join(_PEM_LINE.sub("", text).split())
    try:
        key = load_der_public_key(base64.b64decode(encoded, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        raise SecretError("the source's public key is invalid") from None
    if not isinstance(key, EllipticCurvePublicKey):
        raise SecretError("the source's public key is not an elliptic curve key")
    return key


def _verify_signature(body: bytes, headers: Mapping[str, str], key: str) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    timestamp, given = find_header(headers, TIMESTAMP), find_header(headers, SIGNATURE)
    if not given or not timestamp:
        raise SignatureError("the signature or its timestamp is missing")
    try:
        signature = base64.b64decode(given, validate=True)
    except ValueError:
        raise SignatureError("the signature is not valid base64") from None
    public_key = load_key(key)
    signed = timestamp.encode("utf-8", "surrogateescape") + body
    try:
        public_key.verify(signature, signed, ECDSA(SHA256()))
    except InvalidSignature:
        raise SignatureError(
            "the signature does not match the timestamp and body"
        ) from None
