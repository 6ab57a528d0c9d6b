"""Login cookies of the dashboard, which every worker can check without a store."""

import hashlib
import hmac

from sendgrid_bounces.core.clock import Clock

#: The name of the cookie.
COOKIE = "sendgrid_bounces_session"

#: Seconds until a login expires.
LIFETIME = 12 * 60 * 60


def issue_cookie(token: str, clock: Clock | None = None) -> str:
    """Return the value of a cookie: its expiry and an HMAC with *token* as the key."""
    expiry = str((clock or Clock()).now() + LIFETIME)
    return f"{expiry}.{_sign(token, expiry)}"


def is_valid_cookie(value: str, token: str, clock: Clock | None = None) -> bool:
    """Return whether *value* was issued for *token* and has not expired."""
    expiry, _, signature = value.partition(".")
    if not hmac.compare_digest(signature.encode(), _sign(token, expiry).encode()):
        return False
    return int(expiry) > (clock or Clock()).now()


def _sign(token: str, expiry: str) -> str:
    message = f"dashboard session until {expiry}".encode()
    return hmac.new(token.encode(), message, hashlib.sha256).hexdigest()
