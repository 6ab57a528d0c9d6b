"""Why a logged request failed: which credential, name or parameter.

The log keeps the claims of a request and its response. Accounts are looked up when the
reason is shown, and may have changed since.
"""

import json
import re
from collections.abc import Callable, Mapping
from html import unescape
from http import HTTPStatus
from typing import Any

from sendgrid_bounces.auth import API_KEY_USER
from sendgrid_bounces.core.attempts import WINDOW
from sendgrid_bounces.core.errors import UnknownNameError
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.redaction import is_secret

NO_KEY = "the API key is missing, or no account has it"

#: The names of messages in JSON responses, in the order of preference.
_MESSAGES = ("errors", "message", "error", "Message")

_MARKUP = re.compile(r"<[^<>]*>")


def explain(emulator: Emulator, entry: LoggedRequest) -> str | None:
    """Return why the request has the status 400, 401, 403, 404 or 429, or None."""
    explain_status = EXPLANATIONS.get(entry.status or 0)
    if explain_status is None:
        return None
    cause = None if entry.fault is None else _explain_fault(emulator, entry)
    return cause or explain_status(emulator, entry)


def _explain_fault(emulator: Emulator, entry: LoggedRequest) -> str | None:
    """Return that a fault rule set the status, if it did."""
    name = f"fault rule {entry.fault}"
    try:
        rule = emulator.storage.faults.get(entry.fault or 0).rule
    except UnknownNameError:
        return f"{name} triggered, and has been removed since"
    return f"{name} set the status" if entry.status == rule.status else None


def _explain_refusal(emulator: Emulator, entry: LoggedRequest) -> str | None:
    """Return which credential is missing or wrong."""
    name = entry.account
    if name is None:
        return NO_KEY
    if entry.domain is not None:
        return f"domain {entry.domain!r} belongs to account {name!r}; {NO_KEY}"
    if _has_verified_account(emulator, entry):
        return f"account {name!r} may not do this"
    account = emulator.storage.accounts.find(name)
    if account is None:
        return NO_KEY if name == API_KEY_USER else f"there is no account {name!r}"
    if not account.key_hash:
        return f"account {name!r} has no API key"
    keys = [value for key, value in entry.parameters.items() if is_secret(key)]
    is_missing = "api_user" in entry.parameters and not any(keys)
    problem = "missing" if is_missing else "wrong"
    return f"account {name!r} exists; the API key is {problem}"


def _explain_limit(_: Emulator, entry: LoggedRequest) -> str | None:
    """Return which limit the request exceeded."""
    if entry.fault is not None:
        return f"fault rule {entry.fault} limits the rate"
    name = entry.domain or entry.account
    keys = "API keys" if name is None else f"API keys for {name!r}"
    return (
        f"too many {keys} were wrong, or were verified at the same time: correct the "
        f"key, or wait {WINDOW} seconds"
    )


def _explain_absence(_: Emulator, entry: LoggedRequest) -> str | None:
    """Return which path, domain or address does not exist."""
    if entry.operation is None:
        return f"{entry.dialect} has no call with this path"
    if entry.domain is not None:
        if entry.account is None:
            return f"there is no domain {entry.domain!r}"
        if entry.domain in entry.response.lower():
            return (
                f"domain {entry.domain!r} belongs to account {entry.account!r}, and "
                "the API key to another account"
            )
    owner = entry.domain or entry.account
    if owner is not None and "@" in entry.path.rpartition("/")[2]:
        return f"the address is not on the list of {owner!r}"
    return None


#: The explanation of each status.
EXPLANATIONS: Mapping[int, Callable[[Emulator, LoggedRequest], str | None]] = {
    HTTPStatus.BAD_REQUEST: lambda _, entry: _message(entry),
    HTTPStatus.UNAUTHORIZED: _explain_refusal,
    HTTPStatus.FORBIDDEN: _explain_refusal,
    HTTPStatus.NOT_FOUND: _explain_absence,
    HTTPStatus.TOO_MANY_REQUESTS: _explain_limit,
}


def _has_verified_account(emulator: Emulator, entry: LoggedRequest) -> bool:
    return any(
        dialect.verifies_account
        for dialect in emulator.dialects
        if dialect.name == entry.dialect
    )


def _message(entry: LoggedRequest) -> str | None:
    """Return the message in the response: the vendor's form of the error."""
    try:
        found = "; ".join(_texts(json.loads(entry.response)))
    except ValueError:
        found = unescape(_MARKUP.sub(" ", entry.response))
    return " ".join(found.split()).removeprefix("error: ") or None


def _texts(data: Any) -> list[str]:
    """Return the messages in the data of a response."""
    if isinstance(data, list):
        return [text for each in data for text in _texts(each)]
    if not isinstance(data, dict):
        return [str(data)]
    named = next((data[name] for name in _MESSAGES if name in data), None)
    field = data.get("field")
    return [f"{field}: {text}" if field else text for text in _texts(named)]
