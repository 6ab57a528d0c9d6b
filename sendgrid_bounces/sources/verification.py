"""Verification of webhook requests: constant-time comparisons and shared steps."""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial


class SignatureError(Exception):
    """The request is not authentic; the message names the check that failed."""


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


def expect(token: str) -> Callable[[str], bool]:
    """Return a function that compares a text with *token* in constant time."""
    return partial(is_same, expected=token)


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
