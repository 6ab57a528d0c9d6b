"""Mailgun's side of HTTP: paths, credentials, responses, request info."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import quote, unquote_plus, urlsplit

from flask import Blueprint
from werkzeug.exceptions import HTTPException, NotFound

from sendgrid_bounces.core.errors import (
    BounceError,
    ContentTypeError,
    CredentialsError,
    ParametersError,
    RequestError,
    StorageError,
    TooManyAttemptsError,
    UnknownAddressError,
    UnknownNameError,
)
from sendgrid_bounces.core.requests import RequestInfo
from sendgrid_bounces.dialects.mailgun.documents import (
    Challenge,
    Document,
    ErrorMessage,
    ErrorText,
)
from sendgrid_bounces.dialects.mailgun.operations import Call
from sendgrid_bounces.dialects.mailgun.serializers import TEXT, Serializer
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.schemas.cells import MAX_ROW
from sendgrid_bounces.web.requests import Parameters, refuse_head, request
from sendgrid_bounces.web.responses import ErrorTable, Response, look_up, respond

#: Bytes that a form may have, which is parsed before the key is checked, and a batch: a
#: thousand records with long errors.
MAX_FORM, MAX_BODY = 1024 * 1024, 8 * 1024 * 1024

#: Wire: Mailgun API reference, import: "25MB or under".
MAX_FILE = 25 * 1024 * 1024

#: Bytes of a JSON body that are parsed to describe a request.
MAX_INFO_BODY = 64 * 1024

HOSTS = ("api.mailgun.net", "api.eu.mailgun.net")

KEY_PATTERN = r"\bkey-[0-9a-z]{16,}|\b[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}\b"
KEY_HINTS = (r"key-[0-9a-z]{16}", r"-[0-9a-f]{8}-[0-9a-f]{8}")

#: Wire: wrong credentials are not JSON (recorded): nine bytes without a newline. The
#: messages of 404 are recorded, that of a domain for a sister call. The rest is
#: inferred.
ERRORS_BY_TYPE: ErrorTable = {
    CredentialsError: (401, lambda _: Challenge("Forbidden")),
    UnknownNameError: (
        404,
        lambda error: ErrorMessage(f"Domain not found: {error.name}"),
    ),
    UnknownAddressError: (
        404,
        lambda error: ErrorMessage(
            "Address not found in bounces table", rows_changed=error.rows_changed
        ),
    ),
    ParametersError: (
        400,
        lambda error: ErrorMessage(": ".join(p for p in error.problems[0] if p)),
    ),
    ContentTypeError: (400, lambda error: ErrorMessage(error.reason)),
    RequestError: (400, lambda error: ErrorMessage(error.reason)),
    TooManyAttemptsError: (429, lambda _: ErrorMessage("Too many requests")),
    StorageError: (
        503,
        lambda _: ErrorMessage("The service is temporarily unavailable"),
    ),
    BounceError: (500, lambda _: ErrorMessage("Internal error")),
}

#: The documents of routing errors and injected faults. Other statuses have the document
#: of 422 or 500.
#: Wire: inferred, except for 401: routing errors are text, other errors JSON.
ERRORS_BY_STATUS: Mapping[int, Document] = {
    400: ErrorText("400 bad request\n"),
    401: Challenge("Forbidden"),
    403: ErrorMessage("Forbidden"),
    404: ErrorText("404 page not found\n"),
    405: ErrorText("405 method not allowed\n"),
    408: ErrorMessage("Request timeout"),
    409: ErrorMessage("Conflict"),
    413: ErrorMessage("The request is too large"),
    414: ErrorText("414 uri too long\n"),
    422: ErrorMessage("The request cannot be processed"),
    429: ErrorMessage("Too many requests"),
    431: ErrorText("431 request header fields too large\n"),
    500: ErrorMessage("Internal error"),
    502: ErrorMessage("Bad gateway"),
    503: ErrorMessage("The service is temporarily unavailable"),
    504: ErrorMessage("Gateway timeout"),
}
GENERAL_STATUSES = {4: 422, 5: 500}


def blueprint(name: str, url_prefix: str, serializer: Serializer) -> Blueprint:
    """Return a blueprint that rejects HEAD and renders errors with *serializer*."""
    bp = Blueprint(name, __name__, url_prefix=url_prefix)
    bp.before_request(refuse_head)
    bp.register_error_handler(BounceError, partial(respond_error, serializer))
    return bp


def open_call(domain: str) -> Call:
    """Authenticate the caller and return the call on the list of *domain*.

    :raises CredentialsError: if the API key is missing or unknown.
    :raises UnknownNameError: if the domain does not belong to the key's account.
    """
    basic = request.authorization
    if basic is None or basic.type != "basic" or basic.username != "api":
        raise CredentialsError
    emulator = current_emulator()
    key = basic.password or ""
    found = emulator.authenticator.authenticate_domain(domain, key)
    request.domain_owner = found.account.username
    return Call(emulator.storage.bounces, found.bounce_list, emulator.clock)


def path_address() -> str:
    """Return the address in the path, decoded like the vendor does.

    :raises RequestError: if it is not UTF-8.

    Wire: ``+`` means a space there, unlike in the decoded path of WSGI.
    """
    try:
        _, _version, _domain, bounces, encoded = _raw_path().split("/", 4)
    except ValueError:  # a slash between them is percent-encoded
        raise NotFound from None
    if bounces != "bounces":  # percent-encoded, which the router accepts
        raise NotFound
    try:
        return unquote_plus(encoded.encode("latin-1").decode(), errors="strict")
    except UnicodeDecodeError:
        raise RequestError("the path is not UTF-8") from None


def list_url() -> str:
    """Return the absolute URL of the request, without its query.

    :raises RequestError: if the ``Host`` header is malformed.
    """
    return f"{request.server_url}{_raw_path()}"


def _raw_path() -> str:
    """Return the path as sent, or an equivalent if the server does not provide it."""
    raw = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI")
    if raw is None:
        return quote(request.path)
    return urlsplit(str(raw)).path


def read_arguments() -> dict[str, str]:
    """Return the parameters of the query string and of a form body.

    :raises RequestError: if a part does not parse.
    """
    return _first_values(request.read_parameters(MAX_FORM))


def read_query() -> dict[str, str]:
    """Return the parameters of the query string.

    :raises RequestError: if it does not parse.
    """
    return _first_values(request.read_query())


def _first_values(parameters: Parameters) -> dict[str, str]:
    """Return the first value of each parameter.

    Wire: mailgun.js repeats ``limit``.
    """
    values: dict[str, str] = {}
    for name, value in parameters:
        values.setdefault(name, value)
    return values


def read_body() -> bytes:
    """Return the body of a batch.

    :raises RequestError: if it is incomplete.
    """
    return request.read_body(MAX_BODY)


#: Bytes of a line of an uploaded file. Decoded, more of them are too long for a row.
MAX_LINE = 4 * MAX_ROW + 4


def open_upload() -> Iterator[bytes]:
    """Return the lines of the uploaded file, whatever the name of its part.

    :raises RequestError: if there is no file; while iterating, if the client
        disconnects.
    """
    upload = request.read_upload(MAX_FILE)
    if upload is None:
        raise RequestError("Missing mandatory parameter: file")
    lines = iter(partial(upload.readline, MAX_LINE), b"")
    return request.while_connected(lines)


def respond_error(serializer: Serializer, error: BounceError) -> Response:
    """Return the response to *error*."""
    status, document = look_up(error, ERRORS_BY_TYPE)
    return _respond(serializer, document, status)


def render_error(
    serializer: Serializer, status: int, path: str, account: str | None = None
) -> Response:
    """Return a routing error or an injected fault, alike for all paths and accounts."""
    del path, account
    general = ERRORS_BY_STATUS[GENERAL_STATUSES[status // 100]]
    return _respond(serializer, ERRORS_BY_STATUS.get(status, general), status)


def _respond(serializer: Serializer, document: Document, status: int) -> Response:
    return respond(TEXT.get(type(document), serializer), document, status)


def read_request_info(dialect: str) -> RequestInfo:
    """Describe the current request; a part that does not parse is left out.

    An uploaded file stays unread, and the owner of the API key is not looked up.
    """
    info = RequestInfo(dialect, request.method, request.path)
    values = request.view_args or {}
    if request.endpoint is None or "domain" not in values:
        return info
    operation = request.endpoint.rpartition(".")[2]
    try:
        emails = NAMED_EMAILS[operation]() if operation in NAMED_EMAILS else []
    except (RequestError, HTTPException, ValueError, RecursionError):
        emails = []
    path = request.path
    if operation in PATH_OPERATIONS and emails:  # not the same as decoded by WSGI
        path = "/".join([*path.split("/", 4)[:4], *emails])
    return replace(
        info,
        path=path,
        operation=operation,
        domain=str(values["domain"]).lower(),
        emails=tuple(emails),
    )


def _added_emails() -> list[str]:
    """Return the addresses of a form, or of a short JSON body."""
    if request.mimetype != "application/json":
        parameters = request.read_parameters(MAX_FORM)
        return [value for name, value in parameters if name == "address"]
    body = read_body()
    records = json.loads(body) if len(body) <= MAX_INFO_BODY else []
    records = records if isinstance(records, list) else [records]
    addresses = [
        record.get("address") for record in records if isinstance(record, dict)
    ]
    return [address for address in addresses if isinstance(address, str)]


#: The operations with an address in the path.
PATH_OPERATIONS = ("find", "remove")

#: Operation -> the addresses that a request names.
NAMED_EMAILS: Mapping[str, Callable[[], list[str]]] = {
    "add": _added_emails,
    **dict.fromkeys(PATH_OPERATIONS, lambda: [path_address()]),
}
