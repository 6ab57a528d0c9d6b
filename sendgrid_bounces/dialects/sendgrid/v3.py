"""SendGrid v3: ``/v3/suppression/{bounces,blocks}``, which replaced the direct calls.

It reads and deletes the bounces of the same lists as v2. The account is found by its
API key; ``on-behalf-of`` names a customer of a reseller.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

from flask import Blueprint, has_request_context
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
)

from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.errors import (
    BounceError,
    CredentialsError,
    NotAuthorizedError,
    ParametersError,
    RequestError,
    StorageError,
    TooManyAttemptsError,
    UnknownAddressError,
)
from sendgrid_bounces.core.requests import RequestInfo
from sendgrid_bounces.dialects.sendgrid import v3_operations, v3_params, web
from sendgrid_bounces.dialects.sendgrid.v3_documents import (
    Document,
    ErrorPage,
    FieldErrors,
)
from sendgrid_bounces.dialects.sendgrid.v3_serializers import (
    CSV,
    CSV_FORMS,
    FORMS,
    JSON,
)
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web import responses
from sendgrid_bounces.web.dialect import Dialect
from sendgrid_bounces.web.requests import current_request, request
from sendgrid_bounces.web.responses import ErrorTable, Response

NAME = "sendgrid.v3"

#: Bytes that the body of a DELETE may have.
MAX_BODY = 1024 * 1024

#: Bytes of a body that request info is read from.
MAX_INFO_BODY = 64 * 1024

bp = Blueprint("sendgrid_v3", __name__)

#: The methods of paths and methods that do not exist. Without a route for them the
#: router would continue with Mailgun's ``/v3/<domain>/bounces``.
ALL_METHODS = ["GET", "DELETE", "POST", "PUT", "PATCH", "OPTIONS", "TRACE"]

#: The paths that exist, for the error of another method -> the methods that they have.
METHODS: Mapping[re.Pattern[str], list[str]] = {
    re.compile("/v3/suppression/(bounces|blocks)(/.*)?"): ["GET", "DELETE"],
    re.compile("/v3/suppressions/bounces/classifications(/[^/]+)?"): ["GET"],
}


class UnknownRouteError(BounceError):
    """The route does not exist."""


class MissingKeyError(CredentialsError):
    """The request has no Bearer key."""


def _message(text: str) -> FieldErrors:
    return FieldErrors(((None, text),))


#: Wire: the messages of 401, 403, 404 (of an unknown route) and 429, and the body that
#: has both keys are recorded; the rest is inferred.
ERRORS_BY_TYPE: ErrorTable = {
    MissingKeyError: (401, lambda _: _message("authorization required")),
    CredentialsError: (401, lambda _: _message("unauthorized")),
    NotAuthorizedError: (403, lambda _: _message("access forbidden")),
    UnknownRouteError: (404, lambda _: _message("resource not found")),
    UnknownAddressError: (404, lambda _: _message("resource not found")),
    ParametersError: (
        400,
        lambda error: FieldErrors(
            tuple((name or None, m) for name, m in error.problems)
        ),
    ),
    RequestError: (400, lambda error: _message(error.reason)),
    TooManyAttemptsError: (429, lambda _: _message("too many requests")),
    StorageError: (503, lambda _: _message("service unavailable")),
    BounceError: (500, lambda _: _message("internal error")),
}

#: The messages of routing errors and injected faults. Other statuses have the message
#: of 400 or 500.
ERRORS_BY_STATUS = {
    400: "bad request",
    401: "unauthorized",
    403: "access forbidden",
    404: "resource not found",
    405: "method not allowed",
    408: "request timeout",
    409: "conflict",
    413: "request entity too large",
    414: "uri too long",
    422: "unprocessable entity",
    429: "too many requests",
    431: "request header fields too large",
    500: "internal error",
    502: "bad gateway",
    503: "service unavailable",
    504: "gateway timeout",
}


@bp.route("/v3/suppression/<any(bounces, blocks):name>", methods=["GET"])
@bp.route("/v3/suppression/<any(bounces, blocks):name>/", methods=["GET"])
def list_(name: str) -> Response:
    """List bounces, newest first, at most 500."""
    call = _call(name)
    wanted = v3_params.read_list(request.read_query(), call.only)
    return _respond(v3_operations.list_(call, wanted))


@bp.route("/v3/suppression/<any(bounces, blocks):name>", methods=["DELETE"])
@bp.route("/v3/suppression/<any(bounces, blocks):name>/", methods=["DELETE"])
def delete_many(name: str) -> Response:
    """Delete the bounces of addresses, or all."""
    call = _call(name)
    queries = v3_params.read_delete(request.read_body(MAX_BODY), call.only)
    return _respond(v3_operations.delete_many(call, queries), 204)


@bp.route(
    "/v3/suppression/<any(bounces, blocks):name>/<address:email>", methods=["GET"]
)
def find(name: str, email: str) -> Response:
    """Return the bounce of an address, in a list."""
    return _respond(v3_operations.find(_call(name), email))


@bp.route(
    "/v3/suppression/<any(bounces, blocks):name>/<address:email>", methods=["DELETE"]
)
def delete(name: str, email: str) -> Response:
    """Delete the bounce of an address."""
    return _respond(v3_operations.delete(_call(name), email), 204)


@bp.route("/v3/suppressions/bounces/classifications", methods=["GET"])
def classifications() -> Response:
    """Count bounces by day and classification."""
    call = _call("bounces")
    query = v3_params.read_days(request.read_query(), call.only)
    return _respond(v3_operations.count_classifications(call, query))


@bp.route("/v3/suppressions/bounces/classifications/<classification>", methods=["GET"])
def classification(classification: str) -> Response:
    """Count the bounces of a classification by day and domain."""
    call = _call("bounces")
    query = v3_params.read_days(request.read_query(), call.only)
    if classification not in v3_operations.NAMES:
        raise NotFound
    return _respond(v3_operations.count_domains(call, query, classification))


@bp.before_request
def refuse_head() -> None:
    """Reject HEAD, which the router accepts with GET."""
    if request.method == "HEAD":
        refuse_route()


@bp.route("/v3/suppression", methods=ALL_METHODS)
@bp.route("/v3/suppression/", methods=ALL_METHODS)
@bp.route("/v3/suppression/<address:_rest>", methods=ALL_METHODS)
@bp.route("/v3/suppressions", methods=ALL_METHODS)
@bp.route("/v3/suppressions/", methods=ALL_METHODS)
@bp.route("/v3/suppressions/<address:_rest>", methods=ALL_METHODS)
def unknown(_rest: str = "") -> Response:
    """Reject a path or method that does not exist, so that it never reaches Mailgun."""
    refuse_route()


def refuse_route() -> NoReturn:
    """Reject the path or the method of the request.

    :raises MethodNotAllowed: if the path exists.
    :raises UnknownRouteError: if it does not.
    """
    for pattern, methods in METHODS.items():
        if pattern.fullmatch(request.path):
            raise MethodNotAllowed(methods)
    raise UnknownRouteError


@bp.errorhandler(BounceError)
def render_bounce_error(error: BounceError) -> Response:
    """Return the response of :data:`ERRORS_BY_TYPE`."""
    status, document = responses.look_up(error, ERRORS_BY_TYPE)
    response = _respond(document, status)
    response.rows_changed = getattr(error, "rows_changed", None)
    return response


def render_error(status: int, path: str, account: str | None = None) -> Response:
    """Return a routing error or an injected fault."""
    del path, account
    if status == NotAcceptable.code:
        return _respond(ErrorPage("406 Not Acceptable"), status)
    return _respond(_message(web.find_by_status(ERRORS_BY_STATUS, status)), status)


def read_request_info() -> RequestInfo:
    """Describe the current request; a part that does not parse is left out."""
    info = RequestInfo(NAME, request.method, request.path)
    endpoint = request.endpoint or ""
    operation = OPERATIONS.get(endpoint.rpartition(".")[2])
    if operation is None or request.method == "HEAD":
        return info
    try:
        account = _caller().username
    except BounceError:
        account = None
    return replace(info, operation=operation, account=account, emails=_emails())


def _emails() -> tuple[str, ...]:
    """Return the addresses that the request names."""
    values = request.view_args or {}
    if "email" in values:
        return (str(values["email"]),)
    if request.method != "DELETE":
        return ()
    try:
        body = request.read_body(MAX_BODY)
        document = v3_params.parse_body(body) if len(body) <= MAX_INFO_BODY else {}
    except (RequestError, HTTPException):
        return ()
    emails = document.get("emails")
    found = emails if isinstance(emails, list) else []
    return tuple(email for email in found if isinstance(email, str))


def _call(name: str) -> v3_operations.Call:
    """Return the authenticated call about a list.

    :raises NotAcceptable: without an ``Accept`` header.
    :raises CredentialsError: if the API key is missing or unknown.
    :raises NotAuthorizedError: if ``on-behalf-of`` does not name a customer.

    Wire: a request without ``Accept`` is refused on bounces, not on the other lists.
    """
    if name == "bounces" and "Accept" not in request.headers:
        raise NotAcceptable
    account = _caller()
    customer = request.headers.get("On-Behalf-Of")
    if customer is not None:
        account = _customer(account, customer)
    emulator = current_emulator()
    return v3_operations.Call(
        emulator.storage.bounces,
        account.bounce_list,
        v3_params.LISTS[name],
        emulator.clock,
    )


def _caller() -> Account:
    """Return the account of the Bearer key, which is verified once for a request.

    :raises CredentialsError: if the key is missing or unknown.
    """
    sent = current_request()
    if sent.caller is None:
        try:
            sent.caller = _find_caller()
        except BounceError as error:
            sent.caller = error
    if isinstance(sent.caller, BounceError):
        raise sent.caller.with_traceback(None)
    return sent.caller


def _find_caller() -> Account:
    key = request.bearer_token
    if not key:
        raise MissingKeyError
    return current_emulator().authenticator.authenticate_key(key)


def _customer(reseller: Account, name: str) -> Account:
    """Return the customer *name* of *reseller*.

    :raises NotAuthorizedError: if *reseller* has no such customer.

    Wire: the answer to an unknown name is inferred; it is never the parent's list.
    """
    found = current_emulator().storage.accounts.find_customer(reseller, name)
    if found is None:
        raise NotAuthorizedError
    return found


def _respond(document: Document, status: int = 200) -> Response:
    form = (CSV_FORMS if _prefers_csv() else FORMS)[type(document)]
    response = responses.respond(form, document, status)
    if not form.headers:
        del response.headers["Content-Type"]
    return response


def _prefers_csv() -> bool:
    """Return whether the client prefers CSV; not known of a malformed request."""
    if not has_request_context():
        return False
    return request.accept_mimetypes.best_match([JSON, CSV]) == CSV


#: View -> operation.
OPERATIONS = {
    "list_": "list",
    "find": "find",
    "delete": "delete",
    "delete_many": "delete_many",
    "classifications": "classifications",
    "classification": "classifications",
}

DIALECT = Dialect(
    name=NAME,
    blueprint=bp,
    owns=("/v3/suppression/", "/v3/suppressions/"),
    operations=tuple(dict.fromkeys(OPERATIONS.values())),
    render_error=render_error,
    read_request_info=read_request_info,
    hosts=("api.sendgrid.com", "api.eu.sendgrid.com"),
    key_pattern=web.KEY_PATTERN,
    key_hints=web.KEY_HINTS,
    sends_retry_after=False,
    verifies_account=True,
    owns_at_hosts=("/v3/",),
    reserved_domains=("suppression", "suppressions"),
)
