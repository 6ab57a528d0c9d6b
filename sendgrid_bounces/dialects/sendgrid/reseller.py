"""The resellers' dispatcher: a call names its method, its task and a customer.

Its twin is the direct calls: the same operations on the customer's list, in another
envelope. Errors come under HTTP 200, as the service had them.
"""

from collections.abc import Mapping
from dataclasses import replace

from flask import Blueprint, Response, request

from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.errors import (
    BounceError,
    ContentTypeError,
    CredentialsError,
    NoFilterError,
    NotAuthorizedError,
    ParametersError,
    RequestError,
    StorageError,
    UnknownNameError,
)
from sendgrid_bounces.dialects.sendgrid import operations, web
from sendgrid_bounces.dialects.sendgrid.documents import Document, ErrorCode, ErrorList
from sendgrid_bounces.dialects.sendgrid.operations import Call, Operation
from sendgrid_bounces.dialects.sendgrid.params import Arguments
from sendgrid_bounces.dialects.sendgrid.profiles import RESELLER_PROFILE
from sendgrid_bounces.dialects.sendgrid.serializers import (
    RESELLER_LISTING,
    JSONSerializer,
    XMLSerializer,
)
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web import requests, responses
from sendgrid_bounces.web.dialect import Dialect

bp = Blueprint("sendgrid_reseller", __name__)
bp.before_request(requests.refuse_head)

SERIALIZERS: web.Serializers = {
    "json": JSONSerializer((",", ":"), RESELLER_LISTING, slash="\\/"),
    "xml": XMLSerializer(),
}


class UnknownTaskError(BounceError):
    """There is no such task; *parameter* is the first that names none."""

    def __init__(self, parameter: str) -> None:
        super().__init__(parameter)
        self.parameter = parameter


def delete_named(call: Call) -> Document:
    """Delete the addresses that are named, and never a whole list.

    Wire: Customer Bounces, delete: ``email`` is required. What ``delete_all`` does here
    is not known, so it is refused.
    """
    if not call.arguments.emails:
        raise NoFilterError
    if "delete_all" in call.arguments.texts:
        raise ParametersError([("delete_all", "cannot be used for a customer")])
    return operations.delete(call)


#: What a method and a task do.
TASKS: Mapping[tuple[str, str], Operation] = {
    ("bounces", "get"): operations.get,
    ("bounces", "delete"): delete_named,
}
METHODS = {method for method, _task in TASKS}

#: Wire: those with the codes 400 and 401 but the last two are recorded, of the call
#: itself or a sister; the list's words for a missing address are recorded of a sister.
ERRORS: responses.ErrorTable = {
    CredentialsError: (
        200,
        lambda _: ErrorCode(401, "Permission denied, wrong credentials"),
    ),
    NotAuthorizedError: (
        200,
        lambda _: ErrorCode(401, "Permission denied, not authorized"),
    ),
    UnknownTaskError: (
        200,
        lambda error: ErrorCode(400, f"Invalid {error.parameter} parameter"),
    ),
    UnknownNameError: (200, lambda _: ErrorCode(400, "User does not exist")),
    NoFilterError: (200, lambda _: ErrorList(("Email is required",))),
    ParametersError: (
        200,
        lambda error: ErrorList(
            tuple(f"error in {name}: {text}" for name, text in error.problems)
        ),
    ),
    ContentTypeError: (200, lambda error: ErrorCode(415, error.reason)),
    RequestError: (200, lambda error: ErrorCode(400, error.reason)),
    StorageError: (
        503,
        lambda _: ErrorCode(503, "The service is temporarily unavailable"),
    ),
    BounceError: (500, lambda _: ErrorCode(500, "Internal error")),
}

#: Wire: a 404 has its code as text, and no message, and 401's words are recorded; the
#: rest is inferred. What has no words has those of 400 or 500, with its own code.
HTTP_ERRORS = {
    400: ErrorCode(400, "Bad request"),
    401: ErrorCode(401, "Permission denied, wrong credentials"),
    403: ErrorCode(403, "Permission denied, not authorized"),
    404: ErrorCode("404", None),
    405: ErrorCode(405, "Only GET and POST are allowed"),
    408: ErrorCode(408, "The request took too long"),
    409: ErrorCode(409, "The request conflicts with another one"),
    413: ErrorCode(413, f"The body is larger than {web.MAX_BODY} bytes"),
    414: ErrorCode(414, "The URL is too long"),
    422: ErrorCode(422, "The request cannot be processed"),
    429: ErrorCode(429, "Too many requests"),
    431: ErrorCode(431, "The headers are too large"),
    500: ErrorCode(500, "Internal error"),
    502: ErrorCode(502, "Bad gateway"),
    503: ErrorCode(503, "The service is temporarily unavailable"),
    504: ErrorCode(504, "Gateway timeout"),
}


@web.route(bp, "/apiv2/reseller.manage.<any(json, xml):suffix>")
def manage(suffix: str) -> Response:
    """Answer a call that names its method."""
    return _answer(suffix)


@web.route(bp, "/api/user.bounces.<any(json, xml):suffix>")
@web.route(bp, "/apiv2/customer.bounces.<any(json, xml):suffix>")
def customer_bounces(suffix: str) -> Response:
    """Answer a call whose method is in its path."""
    return _answer(suffix)


def _answer(suffix: str) -> Response:
    """Do what the request asks for on the list of the reseller's customer."""
    emulator = current_emulator()
    try:
        arguments = web.read_arguments()
        caller = web.authenticate(arguments)
        if not caller.is_reseller:
            raise NotAuthorizedError
        operation = _operation(arguments)
        call = Call(
            emulator.storage.bounces,
            _customer(caller, arguments),
            arguments,
            emulator.clock.now(),
            RESELLER_PROFILE,
        )
        return _respond(operation(call), suffix)
    except BounceError as error:
        status, document = responses.render(error, ERRORS)
        return _respond(document, suffix, status)


def _operation(arguments: Arguments) -> Operation:
    method = _method(arguments)
    if method not in METHODS:
        raise UnknownTaskError("method")
    operation = TASKS.get((method, arguments.get("task")))
    if operation is None:
        raise UnknownTaskError("task")
    return operation


def _method(arguments: Arguments) -> str:
    is_implied = request.endpoint == f"{bp.name}.{customer_bounces.__name__}"
    return "bounces" if is_implied else arguments.get("method")


def _customer(reseller: Account, arguments: Arguments) -> Account:
    """Return the customer that is meant.

    Whether somebody has this name who is not the reseller's makes no difference.
    """
    accounts = current_emulator().storage.accounts
    customer = accounts.find(arguments.get("user"))
    if customer is None or customer.reseller != reseller.id:
        raise UnknownNameError("customer", arguments.get("user"))
    return customer


def _respond(document: Document, suffix: str, status: int = 200) -> Response:
    return web.respond(SERIALIZERS, document, suffix, RESELLER_PROFILE, status)


def _render_error(status: int, suffix: str, _username: str | None) -> Response:
    refusal = web.refusal(HTTP_ERRORS, status)
    if status not in HTTP_ERRORS:
        refusal = replace(refusal, code=status)
    return _respond(refusal, suffix, status)


def _task(arguments: Arguments) -> str | None:
    task = arguments.get("task")
    return task if (_method(arguments), task) in TASKS else None


DIALECT = Dialect(
    name="sendgrid.reseller",
    blueprint=bp,
    owns=lambda path: path.startswith(("/apiv2/", "/api/user.")),
    operations=tuple(task for _method, task in TASKS),
    render_error=web.error_renderer(_render_error),
    read_request_info=lambda: web.read_request_info("sendgrid.reseller", _task),
    hosts=web.HOSTS,
    key_pattern=web.KEY_PATTERN,
)
