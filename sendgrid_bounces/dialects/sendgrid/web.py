"""SendGrid's side of HTTP: parameters, credentials, responses, request info."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from flask import Blueprint
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from sendgrid_bounces.core.errors import BounceError, ParametersError, RequestError
from sendgrid_bounces.core.requests import RequestInfo
from sendgrid_bounces.dialects.sendgrid.documents import Document
from sendgrid_bounces.dialects.sendgrid.params import Arguments
from sendgrid_bounces.dialects.sendgrid.profiles import Profile
from sendgrid_bounces.web import responses
from sendgrid_bounces.web.requests import refuse_head, request
from sendgrid_bounces.web.responses import ErrorTable, Response

#: Bytes that the body of a request may have.
MAX_BODY = 1024 * 1024

HOSTS = ("sendgrid.com", "www.sendgrid.com", "api.sendgrid.com")

KEY_PATTERN = r"\bSG\.[\w-]{8,}\.[\w-]{8,}"

_EMAIL = re.compile(r"email(\[[0-9]*\])?")

Message = TypeVar("Message")


def blueprint(name: str) -> Blueprint:
    """Return a blueprint that rejects HEAD."""
    bp = Blueprint(name, __name__)
    bp.before_request(refuse_head)
    return bp


def read_arguments() -> Arguments:
    """Return the parameters of the query string and the body, without empty ones.

    :raises RequestError: if a part does not parse.

    Wire: ``email`` may be repeated, also as ``email[]`` and ``email[0]``.
    """
    values: dict[str, str | list[str]] = {}
    emails: list[str] = []
    ambiguous = set()
    for name, value in request.read_parameters(MAX_BODY):
        if not value:
            continue
        if _EMAIL.fullmatch(name):
            emails.append(value)
        elif values.setdefault(name, value) != value:
            ambiguous.add(name)
    if emails:
        values["email"] = emails
    return Arguments(values, ambiguous)


def read_credentials(arguments: Arguments) -> tuple[str, str]:
    """Return the user name and API key of the caller.

    :raises ParametersError: if one of them is ambiguous.

    Wire: old clients send Basic credentials in addition to the parameters, or instead.
    """
    username, key = arguments.get("api_user"), arguments.get("api_key")
    if not username and not key:
        basic = request.authorization
        if basic is not None and basic.type == "basic":
            return basic.username or "", basic.password or ""
    return username, key


def respond(
    document: Document, suffix: str, profile: Profile, status: int = 200
) -> Response:
    """Return *document* in the format of *suffix*."""
    serializer = profile.serializers[suffix]
    pieces = serializer.pieces(document)
    return responses.respond(pieces, status, serializer.headers, document.rows_changed)


def respond_error(
    error: BounceError, table: ErrorTable, suffix: str, profile: Profile
) -> Response:
    """Return the response of *table* to *error*."""
    status, document = responses.look_up(error, table)
    return respond(document, suffix, profile, status)


def error_suffix(status: int, path: str) -> str:
    """Return the format of a routing error or an injected fault.

    Wire: 404 is JSON; all others have the format of the path.
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
    info = RequestInfo(dialect, request.method, request.path)
    if request.url_rule is None or request.method == "HEAD":
        return info  # the body stays unread
    try:
        arguments = read_arguments()
    except (RequestError, RequestEntityTooLarge):
        return info
    return replace(
        info,
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
