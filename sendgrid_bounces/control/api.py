"""What all control endpoints share: who may call, strict requests, answers in JSON."""

import hmac
import ipaddress
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify
from marshmallow import Schema
from werkzeug.exceptions import Forbidden, HTTPException, MethodNotAllowed, Unauthorized

from sendgrid_bounces.config import PREFIX as VARIABLES
from sendgrid_bounces.core.errors import (
    BounceError,
    ConflictError,
    ParametersError,
    RequestError,
    StorageError,
    UnknownNameError,
)
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.schemas.base import load
from sendgrid_bounces.schemas.loader import as_mapping
from sendgrid_bounces.web.requests import request
from sendgrid_bounces.web.responses import ErrorTable, look_up

PREFIX = "/_emulator"

#: Bytes that a body may have.
MAX_BODY = 8 * 1024 * 1024

#: Faults told of one request.
MAX_FAULTS = 100

#: The parameters of calls that have none.
NONE = Schema()

#: What a request has in its environment that comes from this very process: no header
#: can set it.
IN_PROCESS = "sendgrid_bounces.in_process"

#: Ends of names that public DNS does not give to anybody.
PRIVATE = ("localhost", "internal", "local", "test")


def blueprint(name: str) -> Blueprint:
    """Return a blueprint for control endpoints: guarded, and answering JSON."""
    bp = Blueprint(f"control_{name}", __name__, url_prefix=PREFIX)
    bp.before_request(_guard)
    bp.register_error_handler(BounceError, _render_bounce_error)
    bp.register_error_handler(HTTPException, render_http_error)
    return bp


def owns(path: str) -> bool:
    """Return whether *path* lies where the control endpoints are."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def read_text() -> str:
    """Return the body as text.

    :raises RequestError: if it is not whole, or not UTF-8.
    :raises RequestEntityTooLarge: if it is too long.
    """
    try:
        return request.read_body(MAX_BODY).decode()
    except UnicodeDecodeError:
        raise RequestError("the body is not UTF-8") from None


def read_json() -> Any:
    """Return what the body says in JSON.

    :raises RequestError: if it is none.
    """
    text = read_text()
    if not text.strip():
        raise RequestError("the body is empty, and must be JSON")
    try:
        return json.loads(text, object_pairs_hook=as_mapping)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from None


def read_parameters(schema: Schema = NONE) -> dict[str, Any]:
    """Return what *schema* makes of the query string.

    :raises ParametersError: with every fault.
    """
    pairs = request.read_query()
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ParametersError([(name, "must be there once only") for name in twice])
    return load(schema, dict(pairs))


def expect_no_body() -> None:
    """Do nothing.

    :raises RequestError: if there is a body: it was meant for another call.
    """
    if request.read_body(MAX_BODY):
        raise RequestError("this call takes no body")


def render_http_error(error: HTTPException) -> Response:
    """Answer what the router, a guard or the request itself refuses."""
    status = HTTPStatus(error.code or 500)
    words = HTTP_ERRORS.get(status, _description)(error)
    response = jsonify(error=words)
    response.status_code = status
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = _allowed(error)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _guard() -> None:
    """Refuse whoever must not call.

    That a server listens on loopback is no protection from the web pages in its user's
    browser: those send an origin, or have given a name of their own to this address.
    """
    if request.environ.get(IN_PROCESS):
        return
    token = current_emulator().config.control_token
    host = request.headers.get("Host", "localhost")  # Werkzeug's is empty if malformed
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise Forbidden("the control endpoints cannot be called by another web site")
    if not token and not _is_private(host):
        raise Forbidden(
            "called by a public name, the control endpoints need a token: set "
            f"{VARIABLES}CONTROL_TOKEN"
        )
    sent = request.authorization
    known = sent.token or "" if sent is not None and sent.type == "bearer" else ""
    if token and not hmac.compare_digest(known.encode(), token.encode()):
        raise Unauthorized(
            "the control endpoints need the header Authorization: Bearer TOKEN"
        )


def _is_private(host: str) -> bool:
    """Return whether no stranger can have given *host*, a header, its address."""
    try:
        name = urlsplit(f"//{host}").hostname or "."
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        *_, last = name.rstrip(".").split(".")
        return "." not in name or last in PRIVATE
    return True


def _render_bounce_error(error: BounceError) -> tuple[Response, int]:
    """Answer what a view raises."""
    status, words = look_up(error, ERROR_TABLE)
    return jsonify(words), status


def _faults(error: ParametersError) -> dict[str, Any]:
    first, *more = error.messages(1)
    return {
        "error": f"{first} ({more[0]})" if more else first,
        "errors": error.messages(MAX_FAULTS),
    }


def _sentence(error: BounceError) -> dict[str, Any]:
    return {"error": str(error)}


ERROR_TABLE: ErrorTable = {
    ParametersError: (400, _faults),
    RequestError: (400, _sentence),
    UnknownNameError: (404, _sentence),
    ConflictError: (409, _sentence),
    StorageError: (503, _sentence),
    BounceError: (400, _sentence),
}


def _not_found(_: HTTPException) -> str:
    if current_emulator().config.control:
        return "there is no such control endpoint"
    return f"the control endpoints are off; {VARIABLES}CONTROL=on turns them on"


def _not_allowed(error: HTTPException) -> str:
    return f"{request.method} does nothing here; use {_allowed(error)}"


def _too_large(_: HTTPException) -> str:
    return f"the body is larger than {MAX_BODY} bytes"


def _description(error: HTTPException) -> str:
    return error.description or f"{error.code} {error.name}"


def _allowed(error: HTTPException) -> str:
    methods = {*(getattr(error, "valid_methods", None) or ())} - {"HEAD", "OPTIONS"}
    return ", ".join(sorted(methods))


#: What is said of a status, if not what the error says itself.
HTTP_ERRORS: dict[HTTPStatus, Callable[[HTTPException], str]] = {
    HTTPStatus.NOT_FOUND: _not_found,
    HTTPStatus.METHOD_NOT_ALLOWED: _not_allowed,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _too_large,
}
