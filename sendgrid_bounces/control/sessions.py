"""Login cookies of the dashboard, which every worker can check without a store."""

import hashlib
import hmac
import re

from sendgrid_bounces.core.clock import Clock

#: The name of the cookie.
COOKIE = "sendgrid_bounces_session"

#: Seconds until a login expires.
LIFETIME = 12 * 60 * 60


#: The form of a cookie: the instant of its expiry, and a signature.
_FORM = re.compile("([0-9]{1,12})[.]([0-9a-f]{64})")


def issue_cookie(token: str, salt: str, clock: Clock | None = None) -> str:
    """Return the value of a cookie: its expiry and an HMAC.

    :param salt: a secret of the database. Without it, a client could guess the token by
        cookies, which no limit counts.
    """
    expiry = str((clock or Clock()).now() + LIFETIME)
    return f"{expiry}.{_sign(token, salt, expiry)}"


def is_valid_cookie(
    value: str, token: str, salt: str, clock: Clock | None = None
) -> bool:
    """Return whether *value* was issued for *token* and *salt*, and has not expired."""
    match = _FORM.fullmatch(value)
    if match is None:
        return False
    expiry, signature = match.groups()
    if not hmac.compare_digest(signature, _sign(token, salt, expiry)):
        return False
    return 0 < int(expiry) - (clock or Clock()).now() <= LIFETIME


def _sign(token: str, salt: str, expiry: str) -> str:
    message = f"dashboard session until {expiry} {salt}".encode()
    return hmac.new(token.encode(), message, hashlib.sha256).hexdigest()
