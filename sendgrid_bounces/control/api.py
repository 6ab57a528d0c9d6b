"""HTTP of the control endpoints: access checks, strict requests, JSON responses."""

import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Callable
from functools import lru_cache, wraps
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, jsonify
from marshmallow import Schema, fields
from werkzeug.exceptions import Forbidden, HTTPException, MethodNotAllowed, Unauthorized

from sendgrid_bounces.config import VARIABLE_PREFIX
from sendgrid_bounces.control import CONTROL_PATH
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.control.sessions import COOKIE, is_valid_cookie
from sendgrid_bounces.core.attempts import MAX_TOKENS, WINDOW
from sendgrid_bounces.core.errors import (
    BounceError,
    ConflictError,
    ParametersError,
    RequestError,
    StorageError,
    TooManyAttemptsError,
    UnknownNameError,
)
from sendgrid_bounces.core.json_limits import MAX_VALUES, has_too_many_values
from sendgrid_bounces.emulator import EXTENSION, current_emulator
from sendgrid_bounces.schemas.base import (
    MAX_PROBLEMS,
    ParametersSchema,
    as_mapping,
    load,
)
from sendgrid_bounces.web.requests import current_client, request
from sendgrid_bounces.web.responses import ErrorTable, look_up

#: Maximum size of a request body in bytes.
MAX_BODY = 8 * 1024 * 1024

#: Maximum length of YAML in a request in characters: PyYAML takes seconds for these.
MAX_YAML = 256 * 1024

#: Characters of YAML that can begin a value, which takes hundreds of bytes of memory.
INDICATORS, MAX_INDICATORS = ",:?-[{", 100_000

#: The path of the OpenAPI description.
DESCRIPTION_PATH = f"{CONTROL_PATH}/openapi.json"

NO_PARAMETERS = ParametersSchema()

#: Stands for the token among the names that keys can be for.
TOKEN_NAME = b"token"

TOO_MANY_TOKENS = (
    f"too many wrong tokens from this address (at most {MAX_TOKENS} in {WINDOW} "
    "seconds): check the token, and try again in a minute"
)

#: Key of the WSGI environment that marks a request from this process. Header fields
#: have keys of another form, so a client cannot set it.
IN_PROCESS = "sendgrid_bounces.in_process"

#: Top-level domains that public DNS does not delegate.
PRIVATE_DOMAINS = ("localhost", "internal", "local", "test")

#: Segments of paths that a proxy can understand in another way than this program.
DOT_SEGMENTS = {".", ".."}

#: Header fields of reverse proxies, besides ``X-Forwarded-...``.
PROXY_FIELDS = {
    *("Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip"),
    *("X-Original-Forwarded-For", "X-Envoy-External-Address", "Fly-Client-Ip"),
    *("Cf-Connecting-Ip", "Cf-Ray", "True-Client-Ip"),
}

#: A Host header: a name or an address, and a port.
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9a-f:.]+\])(?::[0-9]*)?", re.ASCII | re.IGNORECASE)

View = TypeVar("View", bound=Callable[..., Any])


bp = Blueprint("control", __name__, url_prefix=CONTROL_PATH)


def route(
    rule: str,
    method: str,
    *,
    query: Schema = NO_PARAMETERS,
    body: Callable[[], Any] | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> Callable[[View], View]:
    """Return a decorator that registers a view behind the access check.

    The view is called with the control, then by name with the parameters of path and
    query and, if there is a reader, *body*. It returns a response, or data for JSON.

    :param query: the schema of the query parameters.
    :param body: reads the request body; without a reader, a body is rejected.
    """

    def register(view: View) -> View:
        @bp.route(rule, methods=[method])
        @wraps(view)
        def handle(**arguments: Any) -> Response:
            control = Control(current_app.extensions[EXTENSION])
            check_access(control.emulator.config.control_token)
            arguments.update(read_parameters(query))
            if body is not None:
                arguments["body"] = body()
            elif method != "GET":
                reject_body()
            result = view(control, **arguments)
            if isinstance(result, Response):
                return result
            response = jsonify(result)
            response.status_code = status
            return response

        return view

    return register


def read_text() -> str:
    """Return the request body as text.

    :raises RequestError: if it is incomplete or not UTF-8.
    :raises RequestEntityTooLarge: if it exceeds :data:`MAX_BODY`.
    """
    try:
        return request.read_body(MAX_BODY).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RequestError("the body is not UTF-8") from None


def read_seed() -> str:
    """Return the request body as the text of a seed file.

    :raises ParametersError: if it is long, and not JSON or of too many values.
    """
    return check_length(read_text())


def check_length(seed: str) -> str:
    """Check that *seed* is short or JSON, and return the same."""
    if len(seed) > MAX_YAML or sum(map(seed.count, INDICATORS)) > MAX_INDICATORS:
        _check_values(seed)
        try:
            json.loads(seed)
        except (ValueError, RecursionError) as error:
            rule = (
                f"YAML must have at most {MAX_YAML:,} characters, and at most "
                f"{MAX_INDICATORS:,} of {INDICATORS} (use JSON for more)"
            )
            raise ParametersError([("", f"{rule}; not JSON: {error}")]) from None
    return seed


def read_json() -> Any:
    """Return the request body, parsed as JSON.

    :raises RequestError: if it is empty or not JSON.
    :raises ParametersError: if an object repeats a key, or there are too many values.
    """
    text = read_text()
    if not text.strip():
        raise RequestError("the body is empty (expected JSON)")
    if len(text) > MAX_VALUES:
        _check_values(text)
    try:
        return json.loads(text, object_pairs_hook=as_mapping)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from None


def _check_values(text: str) -> None:
    """Check that *text*, which is JSON, does not take much more memory when parsed.

    :raises ParametersError: if it has too many values.
    """
    if has_too_many_values(text.encode()):
        raise ParametersError([("", f"the JSON has more than {MAX_VALUES:,} values")])


def read_parameters(schema: Schema) -> dict[str, Any]:
    """Return the query parameters, validated by *schema*.

    Only a parameter that is a list may be given more than once.

    :raises ParametersError: with every problem.
    """
    pairs = request.read_query()
    if not pairs and not schema.fields:
        return {}
    values: dict[str, Any] = {}
    repeated = set()
    for name, value in pairs:
        if isinstance(schema.fields.get(name), fields.List):
            values.setdefault(name, []).append(value)
        elif name in values:
            repeated.add(name)
        else:
            values[name] = value
    if repeated:
        problem = "given more than once"
        raise ParametersError([(name, problem) for name in sorted(repeated)])
    return load(schema, values)


def reject_body() -> None:
    """Reject a request that has a body.

    :raises RequestError: if the body is not empty.
    """
    if request.read_body(MAX_BODY):
        raise RequestError("this endpoint takes no body")


def check_access(token: str) -> None:
    """Reject a request without the *token*, or from a page in somebody's browser.

    Listening on loopback does not keep out web pages on the same machine. Browsers send
    their Origin, or, after DNS rebinding, the public name that resolved to loopback.
    Nor does it keep out the clients of a proxy on the same machine.

    :param token: the required token; empty if none is required.
    :raises Forbidden: if Origin, Sec-Fetch-Site or Host is foreign, or if a proxy
        forwards a request without a token.
    :raises Unauthorized: if the token is missing or wrong.
    :raises TooManyAttemptsError: if the client has sent too many wrong tokens.
    """
    if request.environ.get(IN_PROCESS):
        return
    host = request.headers.get("Host", "localhost")  # Werkzeug's is empty if malformed
    _check_site(host)
    if not token:
        _check_locality(host)
        return
    if _has_session(token):
        return
    if not is_token(request.bearer_token, token):
        raise Unauthorized(
            "Authorization: missing or wrong token (expected Authorization: Bearer "
            "TOKEN)"
        )


def _has_session(token: str) -> bool:
    """Return whether the request has the cookie of a login with *token*."""
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        return False
    key_salt = current_emulator().storage.accounts.read_key_salt()
    return is_valid_cookie(cookie, token, key_salt)


def is_token(sent: str, token: str) -> bool:
    """Return whether the client of the request has *sent* the *token*.

    :raises TooManyAttemptsError: if the client has sent too many wrong tokens. Then
        even the right one is refused: otherwise its response would stand out.
    """
    if not sent:
        return False
    failed = current_emulator().failed_tokens
    try:
        failed.check(current_client(), TOKEN_NAME)
    except TooManyAttemptsError:
        raise TooManyAttemptsError(TOO_MANY_TOKENS) from None
    is_right = hmac.compare_digest(sent.encode(), token.encode())
    attempt = hashlib.blake2b(sent.encode()).digest()
    if not is_right and not failed.is_known(attempt):
        failed.add(current_client(), TOKEN_NAME, attempt)
    return is_right


@bp.errorhandler(BounceError)
def render_bounce_error(error: BounceError) -> tuple[Response, int]:
    """Render an error that a view raised."""
    status, body = look_up(error, ERRORS_BY_TYPE)
    return jsonify(body), status


@bp.errorhandler(HTTPException)
def render_http_error(error: HTTPException) -> Response:
    """Render an error of routing, of the access check or of reading the request."""
    status = HTTPStatus(error.code or 500)
    response = jsonify(error=describe(error))
    response.status_code = status
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(_allowed(error))
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def describe(error: HTTPException) -> str:
    """Return the message of an HTTP error."""
    return ERRORS_BY_STATUS.get(HTTPStatus(error.code or 500), _description)(error)


def _check_site(host: str) -> None:
    """Reject a request from a web page of another site."""
    origin = request.headers.get("Origin")
    if origin is not None and not _is_own(origin, host):
        raise Forbidden("Origin: requests from pages of another site are not allowed")
    if _fetch_field("Sec-Fetch-Site") == "cross-site" and not _is_visit():
        raise Forbidden(
            "Sec-Fetch-Site: requests from pages of another site are not allowed"
        )


def _is_own(origin: str, host: str) -> bool:
    """Return whether *origin* is that of the server.

    The scheme before a proxy is unknown. A page cannot add the header fields of a proxy
    to a request to another origin.
    """
    scheme, _, site = origin.lower().partition("://")
    is_same_scheme = scheme == request.scheme or bool(_proxy_field())
    return site == host.lower() and is_same_scheme


def _check_locality(host: str) -> None:
    """Reject a request by a public host name, or one that a proxy can have passed."""
    if field := _proxy_field():
        requests = f"{field}: requests through a proxy"
    elif not DOT_SEGMENTS.isdisjoint(request.path.split("/")):
        requests = "URL: requests with . or .. in the path"
    elif not _is_private(host):
        requests = "Host: requests by a public host name"
    else:
        return
    raise Forbidden(f"{requests} require a token (set {VARIABLE_PREFIX}CONTROL_TOKEN)")


def _is_visit() -> bool:
    """Return whether a browser follows a link: the other site cannot read the page."""
    destination = _fetch_field("Sec-Fetch-Dest")
    return request.method == "GET" and destination == "document"


def _fetch_field(name: str) -> str:
    """Return the value of a Sec-Fetch header field, which some programs capitalize."""
    return request.headers.get(name, "").strip().lower()


def _proxy_field() -> str:
    """Return the name of a header field that a proxy has added, or an empty string."""
    for name in request.headers.keys():  # noqa: SIM118 - iterating yields pairs
        if name.title() in PROXY_FIELDS or name.title().startswith("X-Forwarded-"):
            return name
    return ""


@lru_cache(maxsize=256)
def _is_private(host: str) -> bool:
    """Return whether public DNS cannot resolve *host*, a Host header."""
    try:
        name = urlsplit(f"//{host}").hostname if _HOST.fullmatch(host) else None
    except ValueError:
        return False
    if name is None:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        *_, last = name.rstrip(".").split(".")
        return "." not in name or last in PRIVATE_DOMAINS
    return True


def _problems(error: ParametersError) -> dict[str, Any]:
    first, *more = error.messages(1)
    return {
        "error": f"{first} ({more[0]})" if more else first,
        "errors": error.messages(MAX_PROBLEMS),
    }


def _message(error: BounceError) -> dict[str, Any]:
    return {"error": str(error)}


def _unknown(error: UnknownNameError) -> dict[str, Any]:
    return {"error": str(error), "kind": error.kind, "name": error.name}


ERRORS_BY_TYPE: ErrorTable = {
    ParametersError: (400, _problems),
    RequestError: (400, _message),
    UnknownNameError: (404, _unknown),
    ConflictError: (409, _message),
    TooManyAttemptsError: (429, _message),
    StorageError: (503, _message),
    BounceError: (400, _message),
}


def _not_found(_: HTTPException) -> str:
    if current_emulator().config.control:
        return f"no such control endpoint (see {DESCRIPTION_PATH})"
    return (
        f"control endpoints are off (set {VARIABLE_PREFIX}CONTROL_TOKEN, or "
        f"{VARIABLE_PREFIX}CONTROL=on)"
    )


def _not_allowed(error: HTTPException) -> str:
    return f"method {request.method} not allowed (use {' or '.join(_allowed(error))})"


def _too_large(_: HTTPException) -> str:
    return f"the body exceeds {MAX_BODY} bytes"


def _description(error: HTTPException) -> str:
    return error.description or f"{error.code} {error.name}"


def _allowed(error: HTTPException) -> list[str]:
    methods = getattr(error, "valid_methods", None) or ()
    return sorted({*methods} - {"HEAD", "OPTIONS"})


#: The messages of HTTP errors; other errors have their own description.
ERRORS_BY_STATUS: dict[HTTPStatus, Callable[[HTTPException], str]] = {
    HTTPStatus.NOT_FOUND: _not_found,
    HTTPStatus.METHOD_NOT_ALLOWED: _not_allowed,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _too_large,
}
