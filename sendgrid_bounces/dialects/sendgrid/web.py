"""SendGrid's side of HTTP: reading requests, knowing the caller, answering."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from flask import Blueprint, Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.errors import ParametersError, RequestError
from sendgrid_bounces.core.requests import RequestInfo
from sendgrid_bounces.dialects.sendgrid.documents import Document
from sendgrid_bounces.dialects.sendgrid.params import Arguments
from sendgrid_bounces.dialects.sendgrid.profiles import Profile
from sendgrid_bounces.dialects.sendgrid.serializers import JSONSerializer, XMLSerializer
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web import requests, responses

#: How many bytes the body of a request may have.
MAX_BODY = 1024 * 1024

HOSTS = ("sendgrid.com", "www.sendgrid.com", "api.sendgrid.com")

KEY_PATTERN = r"\bSG\.[\w-]{8,}\.[\w-]{8,}"

XML_HEADERS = {"Content-Type": "text/xml; charset=ISO-8859-1"}

_EMAIL = re.compile(r"email(\[[0-9]*\])?")

Serializers = Mapping[str, JSONSerializer | XMLSerializer]
Words = TypeVar("Words")


def route(bp: Blueprint, rule: str) -> Callable[[requests.View], requests.View]:
    """Return a decorator that lets *bp* answer GET and POST, which mean the same."""
    return requests.route(bp, rule, "GET", "POST")


def read_arguments() -> Arguments:
    """Return what the request says, in its query string and its body.

    What is empty is left out. ``email`` may come often, also as ``email[]`` and
    ``email[0]``.

    :raises RequestError: if a part cannot be read.
    """
    texts: dict[str, list[str]] = {}
    emails = []
    for name, value in requests.read_pairs(MAX_BODY):
        if not value:
            continue
        if _EMAIL.fullmatch(name):
            emails.append(value)
        else:
            texts.setdefault(name, []).append(value)
    return Arguments(texts, emails)


def authenticate(arguments: Arguments) -> Account:
    """Return the account that calls.

    :raises CredentialsError: if ``api_user`` and ``api_key`` are not an account's.

    Wire: old clients send Basic credentials beside the parameters, or instead of them.
    """
    return current_emulator().authenticator.authenticate(*_credentials(arguments))


def _credentials(arguments: Arguments) -> tuple[str, str]:
    username, key = arguments.get("api_user"), arguments.get("api_key")
    basic = requests.read_authorization()
    if not username and not key and basic is not None and basic.type == "basic":
        return basic.username or "", basic.password or ""
    return username, key


def respond(
    serializers: Serializers,
    document: Document,
    suffix: str,
    profile: Profile,
    status: int,
) -> Response:
    """Return *document* in the format of *suffix*."""
    headers = profile.json_headers if suffix == "json" else XML_HEADERS
    pieces = serializers[suffix].pieces(document)
    return responses.respond(pieces, status, Headers(headers.items()))


def read_request_info(
    dialect: str, read_operation: Callable[[Arguments], str | None]
) -> RequestInfo:
    """Describe the current request; a part that does not parse is left out.

    :param read_operation: returns the operation that the arguments name.
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
        operation=_if_clear(read_operation, arguments),
        account=_if_clear(_claimed, arguments),
        emails=tuple(arguments.emails),
    )


def _if_clear(
    read: Callable[[Arguments], str | None], arguments: Arguments
) -> str | None:
    try:
        return read(arguments)
    except ParametersError:  # it says two different things
        return None


def _claimed(arguments: Arguments) -> str | None:
    """Return whose name is given; one without a key beside it may be the key."""
    username, key = _credentials(arguments)
    return username if username and (key or "api_user" in arguments.texts) else None


def error_renderer(
    render: Callable[[int, str, str | None], Response],
) -> responses.ErrorRenderer:
    """Return what words (status, path), from what words (status, suffix).

    Wire: 404 is worded in JSON; else what the path asks for counts.
    """

    def render_error(status: int, path: str, username: str | None = None) -> Response:
        is_xml = path.endswith(".xml") and status != NotFound.code
        return render(status, "xml" if is_xml else "json", username)

    return render_error


def refusal(words: Mapping[int, Words], status: int) -> Words:
    """Return the words for *status*; a status without its own has its class's."""
    return words.get(status) or words[status // 100 * 100]
