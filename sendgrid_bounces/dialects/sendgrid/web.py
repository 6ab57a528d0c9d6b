"""SendGrid's side of HTTP: blueprints, error formats, request info."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from flask import Blueprint
from werkzeug.exceptions import HTTPException, NotFound

from sendgrid_bounces.auth import API_KEY_USER
from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.errors import ParametersError, RequestError
from sendgrid_bounces.core.requests import RequestInfo
from sendgrid_bounces.dialects.sendgrid.params import (
    Arguments,
    read_arguments,
    read_credentials,
)
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.web.requests import current_request, refuse_head

if TYPE_CHECKING:
    from sendgrid_bounces.core.migration import Migration

HOSTS = ("sendgrid.com", "www.sendgrid.com", "api.sendgrid.com")

KEY_PATTERN = r"\bSG\.[\w-]{8,}\.[\w-]{8,}"
KEY_HINTS = (r"sg\.[\w-]{8}",)

Message = TypeVar("Message")


def blueprint(name: str) -> Blueprint:
    """Return a blueprint that rejects HEAD."""
    bp = Blueprint(name, __name__)
    bp.before_request(refuse_head)
    return bp


def read_migration() -> "Migration":
    """Return the requests of v3 that replace the calls of v2."""
    from sendgrid_bounces.dialects.sendgrid.migration import TO_V3  # often not needed

    return TO_V3


def authenticate(emulator: Emulator, arguments: Arguments) -> Account:
    """Return the calling account.

    :raises CredentialsError: if the user name or the API key is missing or unknown.
    :raises ParametersError: if a parameter is ambiguous.

    Wire: at the end of v2 the user name was ``apikey``, and the key named the account.
    """
    username, key = read_credentials(arguments)
    if username == API_KEY_USER and not emulator.storage.accounts.find(username):
        return emulator.authenticator.authenticate_key(key)
    return emulator.authenticator.authenticate(username, key)


def error_suffix(status: int, path: str) -> str:
    """Return the format of a routing error or an injected fault.

    Wire: 404 is JSON; every other status has the format of the path.
    """
    return "xml" if path.endswith(".xml") and status != NotFound.code else "json"


def find_by_status(table: Mapping[int, Message], status: int) -> Message:
    """Return the entry of *status*, or the general one of its class (400, 500)."""
    return table.get(status) or table[status // 100 * 100]


def read_request_info(
    dialect: str, read_operation: Callable[[Arguments], str | None]
) -> RequestInfo:
    """Describe the current request; a part that does not parse is left out.

    :param read_operation: returns the operation that the arguments name, or None.
    """
    sent = current_request()
    if sent.url_rule is None or sent.method == "HEAD":
        return RequestInfo(dialect, sent.method, sent.path)  # the body stays unread
    try:
        arguments = read_arguments()
    except (RequestError, HTTPException):
        return RequestInfo(dialect, sent.method, sent.path)
    return RequestInfo(
        dialect,
        sent.method,
        sent.path,
        operation=read_operation(arguments),
        account=_claimed_account(arguments),
        emails=tuple(arguments.values.get("email", ())),
    )


def _claimed_account(arguments: Arguments) -> str | None:
    """Return the user name of the credentials; None if it may be an API key.

    A name without a key that was sent as Basic credentials may be the key itself.
    """
    try:
        username, key = read_credentials(arguments)
    except ParametersError:
        return None
    return username if username and (key or "api_user" in arguments.values) else None
