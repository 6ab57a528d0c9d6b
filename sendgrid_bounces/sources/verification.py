"""Verification of webhook requests: constant-time comparisons and shared steps."""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sendgrid_bounces.core.sources import RETENTION

#: A Unix time of the years 2001 to 2286. A signature covers the time and the text that
#: follows without a separator, so the length of the time must be fixed.
_TIMESTAMP = re.compile("[0-9]{10}")


class SignatureError(Exception):
    """The request is not authentic; the message names the check that failed."""


class SecretError(Exception):
    """A secret of the source cannot be read or used, so no request can be verified."""


class PayloadError(ValueError):
    """The body as a whole cannot be read."""


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """The secrets that a source checks requests with. All that are set must match.

    :param key: SendGrid: public key, base64 of DER; Mailgun: webhook signing key.
    :param token: whether a text is the token: the bearer token, or the password of
        basic authentication.
    :param certificate: SES: the certificate of Amazon SNS, PEM.
    :param topics: SES: the topic ARNs that are accepted; empty accepts every topic.
    """

    key: str = ""
    token: Callable[[str], bool] | None = None
    certificate: bytes = b""
    topics: tuple[str, ...] = ()


def find_header(headers: Mapping[str, str], name: str) -> str:
    """Return the value of header field *name* in any letter case; empty if missing."""
    name = name.lower()
    return next((value for key, value in headers.items() if key.lower() == name), "")


def is_same(given: str, expected: str) -> bool:
    """Compare two texts in constant time."""
    return hmac.compare_digest(
        given.encode("utf-8", "surrogateescape"),
        expected.encode("utf-8", "surrogateescape"),
    )


def read_timestamp(text: str) -> int | None:
    """Return the Unix time of a signature; None if *text* is not one."""
    return int(text) if _TIMESTAMP.fullmatch(text) else None


def check_age(signed: float | None, now: int) -> None:
    """Check that a signature is so recent that repeats of its events are known.

    :param signed: the Unix time of the signature; None if it has none.
    :param now: the system time; 0 accepts every age.
    :raises SignatureError: if it is older than :data:`RETENTION`.
    """
    if signed is None or signed < now - RETENTION:
        raise SignatureError("the signature is older than 48 hours")


def verify_token(
    headers: Mapping[str, str], is_token: Callable[[str], bool] | None
) -> None:
    """Check the bearer token, or the password of basic authentication.

    :raises SignatureError: if the source or the request has none, or another one.
    """
    if is_token is None:
        raise SignatureError("the source has no secret to verify requests with")
    scheme, _, credentials = find_header(headers, "Authorization").partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "basic":
        credentials = _password(credentials)
    elif scheme.lower() != "bearer":
        raise SignatureError(
            "the Authorization header is missing or has another scheme"
        )
    if not is_token(credentials):
        raise SignatureError("the token is wrong")


def _password(credentials: str) -> str:
    try:
        decoded = base64.b64decode(credentials, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureError("the Authorization header is not valid base64") from None
    return decoded.decode("utf-8", "surrogateescape").partition(":")[2]
