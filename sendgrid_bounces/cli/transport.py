"""HTTP to the control endpoints of a server: requests, errors and JSON."""

import json
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
)
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

from sendgrid_bounces.cli.typecheck import check_types
from sendgrid_bounces.config import VARIABLE_PREFIX
from sendgrid_bounces.control import CONTROL_PATH
from sendgrid_bounces.core.errors import BounceError, ParametersError, UnknownNameError
from sendgrid_bounces.redaction import MASK

#: Seconds to wait for a connection, and for a response: a server may take minutes to
#: store a million bounces.
CONNECT_TIMEOUT, RESPONSE_TIMEOUT = 10, 600

#: Bytes that a response may have.
MAX_RESPONSE = 512 * 1024 * 1024

Result = TypeVar("Result")

TOKEN_VARIABLE = f"{VARIABLE_PREFIX}CONTROL_TOKEN"

#: An address without a scheme, which is no secret since it has a port.
_NO_SCHEME = re.compile(r"([\w.-]+|\[[0-9a-fA-F:]+\]):[0-9]+")

#: Problems that a server may report without a list.
MAX_MORE = 1_000

#: The last message of an error that has more problems than it lists.
_MORE = re.compile("and ([0-9]{1,9}) more")


class ServerError(BounceError):
    """A server refuses a request, or does not answer."""


class Transport:
    """Sends requests to the control endpoints of one server.

    :param url: the address of the server.
    :param token: the token that the endpoints require; empty if none.
    :param certificate: a PEM file to trust instead of the system's certificates.
    :param timeout: seconds to wait for a response.
    :raises ServerError: if the URL is invalid. The message does not contain it.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        certificate: str = "",
        timeout: int = RESPONSE_TIMEOUT,
    ) -> None:
        self._parts = parse_url(url)
        self._timeout = timeout
        self._token = token
        self._certificate = certificate

    def call(
        self,
        parse: Callable[[Any], Result],
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: str | Iterable[bytes] | None = None,
        content_type: str = "application/json",
    ) -> Result:
        """Send a request, and return its parsed response.

        :param parse: takes the JSON of a response. It may fail with any error of
            Python for data of a wrong type.
        :param query: None is left out, and a sequence is one parameter for each value.
        :param body: text, or bytes that are sent while they are made.
        :raises ParametersError: with the problems that the server reports.
        :raises UnknownNameError: if it has no object of this name.
        :raises ServerError: if it refuses the request, or does not answer.
        """
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        given = {k: v for k, v in (query or {}).items() if v is not None}
        target = f"{self._parts.path.rstrip('/')}{CONTROL_PATH}{path}"
        if given:
            target += f"?{urlencode(given, doseq=True)}"
        data = body.encode() if isinstance(body, str) else body
        try:
            with closing(self._connect()) as connection:
                with suppress(BrokenPipeError, ConnectionResetError):
                    # The server may respond before it has read the whole body.
                    connection.request(method, target, data, headers)
                document = self._read(connection.getresponse())
        except IncompleteRead:
            raise ServerError(f"the response of {self._address} ends early") from None
        except OSError as error:  # first: some errors are of both classes
            raise ServerError(explain(self._address, error)) from None
        except HTTPException:
            raise ServerError(f"{self._address} does not speak HTTP") from None
        try:
            parsed = parse(document)
            check_types(parsed)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            raise ServerError(f"{self._address} sends unexpected JSON") from None
        return parsed

    @property
    def _address(self) -> str:
        return self._parts.geturl().rstrip("/")

    def _connect(self) -> HTTPConnection:
        host, port = str(self._parts.hostname), self._parts.port
        timeout = min(CONNECT_TIMEOUT, self._timeout)
        connection: HTTPConnection
        if self._parts.scheme == "https":
            context = None
            if self._certificate:
                from sendgrid_bounces.server.tls import client_context

                context = client_context(self._certificate)
            connection = HTTPSConnection(host, port, timeout=timeout, context=context)
        else:
            connection = HTTPConnection(host, port, timeout=timeout)
        connection.connect()
        connection.sock.settimeout(self._timeout)
        return connection

    def _read(self, response: HTTPResponse) -> Any:
        """Return the JSON of *response*, or raise the error that it reports."""
        text = response.read(MAX_RESPONSE + 1)
        if len(text) > MAX_RESPONSE:
            raise ServerError(f"{self._address} sends more than {MAX_RESPONSE} bytes")
        if response.length:  # the number of bytes that are missing
            raise IncompleteRead(text, response.length)
        if response.headers.get_content_type() != "application/json":
            raise ServerError(f"{self._address} is not a sendgrid-bounces server")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise ServerError(f"{self._address} sends invalid JSON") from None
        if response.status < HTTPStatus.BAD_REQUEST:
            return document
        raise self._error(response.status, document)

    def _error(self, status: int, document: Any) -> BounceError:
        """Return the error that *document* reports, without the token."""
        if not isinstance(document, dict) or "error" not in document:
            return ServerError(f"{self._address} is not a sendgrid-bounces server")
        message = self._redact(str(document["error"]))
        if status == HTTPStatus.UNAUTHORIZED:
            problem = "wrong token" if self._token else "missing token"
            return ServerError(f"{self._address}: {problem} (set {TOKEN_VARIABLE})")
        kind, name = document.get("kind"), document.get("name")
        if isinstance(kind, str) and isinstance(name, str):
            return UnknownNameError(self._redact(kind), self._redact(name))
        errors = document.get("errors")
        if errors and isinstance(errors, list):
            shown = [self._redact(str(error)) for error in errors]
            return ParametersError([*map(_split, _listed(shown))])
        return ServerError(message)

    def _redact(self, text: str) -> str:
        """Return *text* of the server without the token, which it may repeat."""
        return text.replace(self._token, MASK) if self._token else text


def explain(address: str, error: Exception) -> str:
    """Return a message about the *error* of a connection to the server at *address*."""
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = f"certificate verify failed: {error.verify_message}"
        return f"no TLS with {address}: {problem}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with {address}: {error.reason or error}"
    if isinstance(error, TimeoutError) and "handshake" in str(error):
        return f"no TLS with {address}: timeout (does the server speak http://?)"
    reason = getattr(error, "strerror", None) or error
    hint = ""
    if isinstance(error, ConnectionRefusedError):
        hint = " (is `sendgrid-bounces serve` running there?)"
    return f"no answer from {address}: {reason}{hint}"


def parse_url(url: str) -> SplitResult:
    """Return the parts of the URL of a server.

    :raises ServerError: if it is invalid, or holds more than an address.
    """
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not parts.hostname or not url.isprintable():
        expected = "expected http://HOST:PORT"
        if _NO_SCHEME.fullmatch(url):
            expected += f", got '{url}'; did you mean 'http://{url}'?"
        raise ServerError(f"invalid server URL ({expected})")
    if parts.username is not None or parts.query or parts.fragment:
        raise ServerError(
            f"the server URL must be an address only; the token is read from "
            f"{TOKEN_VARIABLE}"
        )
    return parts


def _listed(messages: list[str]) -> list[str]:
    """Return *messages*, with an empty one for each problem that is not listed."""
    *first, last = messages
    match = _MORE.fullmatch(last)
    return [*first, *[""] * min(int(match[1]), MAX_MORE)] if match else messages


def _split(message: str) -> tuple[str, str]:
    """Return the path and the text of a message."""
    path, colon, text = message.partition(": ")
    return (path, text) if colon else ("", message)
