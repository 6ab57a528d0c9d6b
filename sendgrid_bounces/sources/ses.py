"""Amazon SES: notifications through Amazon SNS."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sendgrid_bounces.sources.events import (
    MAX_KEY,
    MAX_KIND,
    Batch,
    BounceEvent,
    EventError,
    Permanence,
    bounce_event,
    read_seconds,
    read_time,
)
from sendgrid_bounces.sources.payloads import (
    MAX_EVENTS,
    load_object,
    section,
    text,
)
from sendgrid_bounces.sources.status import find_code, find_status
from sendgrid_bounces.sources.verification import (
    PayloadError,
    SecretError,
    Secrets,
    SignatureError,
    check_age,
    verify_token,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

#: Fields that SNS signs, in the order of the signed text.
_SIGNED = (
    "Message",
    "MessageId",
    "Subject",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
)
_OPTIONAL = {"Subject", "SubscribeURL", "Token"}
_CONFIRMATIONS = {"SubscriptionConfirmation", "UnsubscribeConfirmation"}
_TYPES = {"Notification", *_CONFIRMATIONS}

#: The beginning of a URL that somebody can be asked to open.
_CONFIRM_URL = re.compile(r"https://sns\.[a-z0-9-]{1,40}\.amazonaws\.com(\.cn)?/")

#: Bounce types and subtypes. SES suppresses addresses after permanent bounces only;
#: transient and undetermined ones include out-of-office replies.
_SUPPRESSED = {"Suppressed", "OnAccountSuppressionList"}


def verify(body: bytes, headers: Mapping[str, str], secrets: Secrets, now: int) -> None:
    """Check the token, the topic and the signature, as far as *secrets* names them.

    No certificate is fetched: the signature is checked with ``secrets.certificate``.
    SNS repeats a message, with its first timestamp, for an hour.

    :raises SignatureError: if a check fails, the signature is older than 48 hours, or
        *secrets* is empty.
    :raises PayloadError: if *body* is not an SNS message.
    :raises SecretError: if the certificate is invalid.
    """
    if secrets.token or not secrets.certificate:
        verify_token(headers, secrets.token)
    if not secrets.certificate and not secrets.topics:
        return
    envelope = load_object(body)
    if secrets.topics and text(envelope, "TopicArn") not in secrets.topics:
        raise SignatureError("the topic is not accepted")
    if secrets.certificate:
        _verify_signature(envelope, secrets.certificate)
        check_age(read_seconds(envelope.get("Timestamp")), now)


def parse(body: bytes, headers: Mapping[str, str], now: int) -> Batch:
    """Return the events of an SNS message, or of a notification by raw delivery.

    The Content-Type is ignored: SNS sends JSON as ``text/plain``.

    :raises PayloadError: if *body* is not a JSON object.
    """
    envelope = load_object(body)
    kind = text(envelope, "Type")
    if kind in _CONFIRMATIONS:
        url = text(envelope, "SubscribeURL")
        if not _CONFIRM_URL.match(url):
            return Batch(skipped=("SubscribeURL: is not a URL of Amazon SNS",))
        return Batch(ignored={kind: 1}, confirm_url=url)
    if kind == "Notification":
        try:
            notification = load_object(text(envelope, "Message"))
        except PayloadError:  # such as "Successfully validated SNS topic for ..."
            return Batch(ignored={"text": 1})
        return read_notification(notification, now, MAX_EVENTS)
    return read_notification(envelope, now, MAX_EVENTS)


def find_notification(body: str, now: int, most: int) -> Batch | None:
    """Return the result of the SES notification inside *body*; None if there is none.

    :param most: recipients that are read.

    SNS can deliver notifications as mails: JSON, followed by a footer.
    """
    body = body.lstrip()
    if not body.startswith("{") or not re.search(r'"(?:notification|event)Type"', body):
        return None
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(body)
    except (ValueError, RecursionError):
        return None
    return read_notification(value, now, most) if isinstance(value, dict) else None


def read_notification(notification: Mapping[str, Any], now: int, most: int) -> Batch:
    """Return the events of an SES notification, of *most* recipients."""
    kind = text(notification, "notificationType", "eventType")
    if kind != "Bounce":
        return Batch(ignored={kind[:MAX_KIND] or "unknown": 1})
    bounce = section(notification, "bounce")
    recipients = bounce.get("bouncedRecipients")
    recipients = recipients if isinstance(recipients, list) else []
    mark = text(bounce, "feedbackId", "timestamp")
    mark = mark or text(section(notification, "mail"), "messageId")
    shared = _Bounce(
        kind=text(bounce, "bounceType")[:MAX_KIND],
        subtype=text(bounce, "bounceSubType")[:MAX_KIND],
        mark=mark[:MAX_KEY],
        created=read_time(bounce.get("timestamp"), now),
    )
    events, skipped = [], []
    if len(recipients) > most:
        skipped.append(f"bouncedRecipients: has more than {most} recipients")
    for recipient in recipients[:most]:
        try:
            events.append(_event(shared, recipient))
        except EventError as error:
            skipped.append(str(error))
    if not events and not skipped:
        skipped.append("bouncedRecipients: must be a list of recipients")
    return Batch(tuple(events), skipped=tuple(skipped))


@dataclass(frozen=True, slots=True)
class _Bounce:
    """The fields that all recipients of a notification share.

    :param mark: identifies the notification among its repeats, if anything does.
    """

    kind: str
    subtype: str
    mark: str
    created: int


def _event(bounce: _Bounce, recipient: Any) -> BounceEvent:
    """Return the event of an element of bouncedRecipients."""
    if not isinstance(recipient, dict):
        raise EventError("bouncedRecipients: must contain objects")
    kind = bounce.kind
    diagnostic = text(recipient, "diagnosticCode")
    status = text(recipient, "status") or find_status(diagnostic)
    is_permanent = kind == "Permanent" or (kind == "Transient" and status == "5.4.4")
    email = text(recipient, "emailAddress")
    return bounce_event(
        email,
        status=status,
        code=find_code(diagnostic),
        reason=diagnostic.removeprefix("smtp;").strip() or f"{kind}/{bounce.subtype}",
        created=bounce.created,
        key=f"ses {bounce.mark} {email.lower()}" if bounce.mark else "",
        permanence=Permanence.PERMANENT if is_permanent else Permanence.NOT_LISTED,
        note="" if is_permanent else kind.lower() or "undetermined",
        only_if_unknown=bounce.subtype in _SUPPRESSED,
    )


def _verify_signature(envelope: Mapping[str, Any], certificate: bytes) -> None:
    # An optional dependency, and slow to import.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    key = _load_key(certificate)
    _check_values(envelope)
    try:
        signature = base64.b64decode(text(envelope, "Signature"), validate=True)
    except ValueError:
        raise SignatureError("the signature is not valid base64") from None
    is_first = text(envelope, "SignatureVersion") == "1"
    algorithm = hashes.SHA1() if is_first else hashes.SHA256()  # noqa: S303 - fixed by SNS
    try:
        key.verify(signature, signed_text(envelope), padding.PKCS1v15(), algorithm)
    except InvalidSignature:
        raise SignatureError("the signature does not match the message") from None


def _check_values(envelope: Mapping[str, Any]) -> None:
    """Check that the signed text has one reading only.

    SNS signs the messages of all its customers with one key, and quotes nothing in the
    text: a line end in a value could turn a part of a message into the topic.
    """
    if text(envelope, "Type") not in _TYPES:
        raise SignatureError("the type of a signed message is not known")
    if any("\n" in text(envelope, name) for name in _SIGNED if name != "Message"):
        raise SignatureError("a signed field has a line end")


def _load_key(certificate: bytes) -> "RSAPublicKey":
    """Return the public key of a certificate in PEM.

    :raises SecretError: if it is invalid, or has a key of another kind.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificate

    try:
        key = load_pem_x509_certificate(certificate).public_key()
    except (ValueError, InvalidVersion, UnsupportedAlgorithm) as error:
        raise SecretError(f"the certificate is invalid: {error}") from None
    if not isinstance(key, RSAPublicKey):
        raise SecretError("the certificate has no RSA key")
    return key


def signed_text(envelope: Mapping[str, Any]) -> bytes:
    """Return the text that SNS signs: names and values, one a line."""
    names = [n for n in _SIGNED if n not in _OPTIONAL or text(envelope, n)]
    if text(envelope, "Type") == "Notification":
        names = [n for n in names if n not in {"SubscribeURL", "Token"}]
    return "".join(f"{name}\n{text(envelope, name)}\n" for name in names).encode()
