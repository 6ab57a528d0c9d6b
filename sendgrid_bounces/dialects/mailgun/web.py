"""Mailgun's side of HTTP: paths, credentials, forms and errors of v2 and v3."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, unquote_plus, urlsplit

from flask import Response, request
from werkzeug.exceptions import NotFound

from sendgrid_bounces.core.accounts import Domain
from sendgrid_bounces.core.errors import (
    BounceError,
    ContentTypeError,
    CredentialsError,
    ParametersError,
    RequestError,
    StorageError,
    UnknownAddressError,
    UnknownNameError,
)
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web import requests, responses

#: How many bytes a form or a batch may have: a thousand records with long errors.
MAX_BODY = 8 * 1024 * 1024

HOSTS = ("api.mailgun.net", "api.eu.mailgun.net")

KEY_PATTERN = r"\bkey-[0-9a-z]{16,}|\b[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}\b"

TEXT = "text/plain; charset=utf-8"

#: Wire: 404's two texts are recorded, that of a domain of a sister call; a parameter's
#: sentences, and what follows them, are inferred.
ERRORS: responses.ErrorTable = {
    UnknownNameError: (404, lambda error: f"Domain not found: {error.name}"),
    UnknownAddressError: (404, lambda _: "Address not found in bounces table"),
    ParametersError: (
        400,
        lambda error: ": ".join(part for part in error.problems[0] if part),
    ),
    ContentTypeError: (400, lambda error: error.reason),
    RequestError: (400, lambda error: error.reason),
    StorageError: (503, lambda _: "The service is temporarily unavailable"),
    BounceError: (500, lambda _: "Internal error"),
    CredentialsError: (401, lambda _: "Forbidden"),
}

#: What is said, in text, when the request does not get as far as a view (inferred).
HTTP_ERRORS = {
    400: "400 bad request\n",
    404: "404 page not found\n",
    405: "405 method not allowed\n",
    414: "414 uri too long\n",
    431: "431 request header fields too large\n",
}

#: What is said in JSON: of what is too large, and of what is made to fail (inferred).
#: What has no words has those of 422 or 500.
MESSAGES = {
    403: "Forbidden",
    408: "Request timeout",
    409: "Conflict",
    413: "The request is too large",
    422: "The request cannot be processed",
    429: "Too many requests",
    500: "Internal error",
    502: "Bad gateway",
    503: "The service is temporarily unavailable",
    504: "Gateway timeout",
}

ADDED = "Address has been added to the bounces table"
REMOVED = "Bounced address has been removed"


def authenticate(name: str) -> Domain:
    """Return the domain *name* of the account whose key the caller has.

    :raises CredentialsError: if it has none's.
    :raises UnknownNameError: if that account has no such domain.
    """
    basic = requests.read_authorization()
    if basic is None or basic.type != "basic" or basic.username != "api":
        raise CredentialsError
    authenticator = current_emulator().authenticator
    return authenticator.authenticate_domain(name, basic.password or "")


def path_address() -> str:
    """Return the address in the path, as the vendor decodes it.

    :raises RequestError: if it is not UTF-8.

    Wire: ``+`` means a blank there, which is not what WSGI's decoded path says.
    """
    try:
        _, _version, _domain, bounces, encoded = _raw_path().split("/", 4)
    except ValueError:  # a slash between them is encoded
        raise NotFound from None
    if bounces != "bounces":  # it is encoded, which the router does not mind
        raise NotFound
    try:
        return unquote_plus(encoded.encode("latin-1").decode(), errors="strict")
    except UnicodeDecodeError:
        raise RequestError("the path is not UTF-8") from None


def list_url() -> str:
    """Return the absolute URL that is asked for, without its query.

    :raises RequestError: if the request does not say of which host.
    """
    if not request.host:
        raise RequestError("the Host header is not valid")
    return f"{request.scheme}://{request.host}{_raw_path()}"


def _raw_path() -> str:
    """Return the path as it was sent; else as it could have been."""
    raw = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI")
    if raw is None:
        return quote(request.path)
    return urlsplit(str(raw)).path


def read_arguments() -> dict[str, str]:
    """Return the parameters of the query and of a form.

    :raises RequestError: if a part cannot be read.
    """
    return _first_values(requests.read_pairs(MAX_BODY))


def read_query() -> dict[str, str]:
    """Return the parameters of the query.

    :raises RequestError: if it cannot be read.
    """
    return _first_values(requests.read_query())


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """How v2 or v3 answers: its JSON, and how it labels it."""

    write: Callable[[object], bytes]
    content_type: str

    def respond(self, document: object, status: int = 200) -> Response:
        """Return *document* as a response."""
        return Response(self.write(document), status, content_type=self.content_type)

    def respond_error(self, error: BounceError) -> Response:
        """Return what is said of *error*.

        Wire: wrong credentials are not worded in JSON (recorded): nine bytes, and no
        line break.
        """
        status, message = responses.render(error, ERRORS)
        if isinstance(error, CredentialsError):
            return _challenge(message)
        return self.respond({"message": message}, status)

    def render_error(
        self, status: int, path: str, username: str | None = None
    ) -> Response:
        """Return what is said of a request that does not get as far as a view.

        It does not depend on the path, or on who calls.

        Wire: what the router refuses is text, and what is too large is JSON (inferred).
        """
        del path, username
        if status == HTTPStatus.UNAUTHORIZED:
            return _challenge("Forbidden")
        if status in HTTP_ERRORS:
            return Response(HTTP_ERRORS[status], status, content_type=TEXT)
        general = MESSAGES[422 if status < HTTPStatus.INTERNAL_SERVER_ERROR else 500]
        return self.respond({"message": MESSAGES.get(status, general)}, status)


def _challenge(message: str) -> Response:
    headers = {"WWW-Authenticate": 'Basic realm="MG API"'}
    return Response(message, HTTPStatus.UNAUTHORIZED, headers, content_type=TEXT)


def _first_values(pairs: requests.Pairs) -> dict[str, str]:
    """Return the first value of each parameter.

    Wire: mailgun.js repeats ``limit``.
    """
    values: dict[str, str] = {}
    for name, value in pairs:
        values.setdefault(name, value)
    return values
