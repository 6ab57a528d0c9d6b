"""The resellers' dispatcher: a call names its method, its task and a customer.

The direct calls offer the same operations on the caller's own list, in another
envelope. Errors have HTTP status 200, as in the recorded service.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

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
    TooManyAttemptsError,
    UnknownNameError,
)
from sendgrid_bounces.dialects.sendgrid import operations, params, web
from sendgrid_bounces.dialects.sendgrid.documents import Document, ErrorCode, ErrorList
from sendgrid_bounces.dialects.sendgrid.operations import Call, Operation
from sendgrid_bounces.dialects.sendgrid.params import Arguments
from sendgrid_bounces.dialects.sendgrid.profiles import RESELLER_PROFILE
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web.dialect import Dialect
from sendgrid_bounces.web.requests import request
from sendgrid_bounces.web.responses import ErrorTable, Response, look_up, respond

NAME = "sendgrid.reseller"

bp = web.blueprint("sendgrid_reseller")


class UnknownTaskError(BounceError):
    """The method or the task is unknown; *parameter* names the first unknown one."""

    def __init__(self, parameter: str) -> None:
        super().__init__(parameter)
        self.parameter = parameter


def delete_named(call: Call) -> Document:
    """Delete the named addresses, never a whole list.

    Wire: Customer Bounces, delete: ``email`` is required. The meaning of ``delete_all``
    here is unknown, so it is an error.
    """
    if "email" not in call.arguments.values:
        raise NoFilterError
    if "delete_all" in call.arguments.values:
        raise ParametersError([("delete_all", "cannot be used for a customer")])
    return operations.delete(call)


#: (method, task) -> operation.
TASKS: Mapping[tuple[str, str], Operation] = {
    ("bounces", "get"): operations.get,
    ("bounces", "delete"): delete_named,
}
METHODS = {method for method, _task in TASKS}


def _code(code: int, message: str) -> Callable[[BounceError], ErrorCode]:
    """Return a function that renders an error as *code* and *message*."""
    return lambda _: ErrorCode(code, message)


#: Wire: codes 400 and 401 are recorded, of the call itself or a sister, except that of
#: RequestError; the message for a missing address is recorded of a sister.
ERRORS_BY_TYPE: ErrorTable = {
    CredentialsError: (200, _code(401, "Permission denied, wrong credentials")),
    NotAuthorizedError: (200, _code(401, "Permission denied, not authorized")),
    UnknownTaskError: (
        200,
        lambda error: ErrorCode(400, f"Invalid {error.parameter} parameter"),
    ),
    UnknownNameError: (200, _code(400, "User does not exist")),
    NoFilterError: (200, lambda _: ErrorList(("Email is required",))),
    ParametersError: (
        200,
        lambda error: ErrorList(
            tuple(f"error in {name}: {text}" for name, text in error.problems)
        ),
    ),
    ContentTypeError: (200, lambda error: ErrorCode(415, error.reason)),
    RequestError: (200, lambda error: ErrorCode(400, error.reason)),
    TooManyAttemptsError: (429, _code(429, "Too many requests")),
    StorageError: (503, _code(503, "The service is temporarily unavailable")),
    BounceError: (500, _code(500, "Internal error")),
}

#: The documents of routing errors and injected faults. Other statuses have the message
#: of 400 or 500, with their own code.
#: Wire: the code of 404 as text, without a message, and the message of 401 are
#: recorded; the rest is inferred.
ERRORS_BY_STATUS = {
    400: ErrorCode(400, "Bad request"),
    401: ErrorCode(401, "Permission denied, wrong credentials"),
    403: ErrorCode(403, "Permission denied, not authorized"),
    404: ErrorCode("404", None),
    405: ErrorCode(405, "Only GET and POST are allowed"),
    408: ErrorCode(408, "The request took too long"),
    409: ErrorCode(409, "The request conflicts with another one"),
    413: ErrorCode(413, f"The body is larger than {params.MAX_BODY} bytes"),
    414: ErrorCode(414, "The URL is too long"),
    422: ErrorCode(422, "The request cannot be processed"),
    429: ErrorCode(429, "Too many requests"),
    431: ErrorCode(431, "The headers are too large"),
    500: ErrorCode(500, "Internal error"),
    502: ErrorCode(502, "Bad gateway"),
    503: ErrorCode(503, "The service is temporarily unavailable"),
    504: ErrorCode(504, "Gateway timeout"),
}


@bp.route("/apiv2/reseller.manage.<any(json, xml):suffix>", methods=["GET", "POST"])
def manage(suffix: str) -> Response:
    """Run the method and task that the parameters name, on a customer's list."""
    return _respond(suffix)


@bp.route("/api/user.bounces.<any(json, xml):suffix>", methods=["GET", "POST"])
@bp.route("/apiv2/customer.bounces.<any(json, xml):suffix>", methods=["GET", "POST"])
def customer_bounces(suffix: str) -> Response:
    """Run the task that the parameters name, on a customer's list."""
    return _respond(suffix)


def _respond(suffix: str) -> Response:
    emulator, serializer = current_emulator(), RESELLER_PROFILE.serializers[suffix]
    try:
        arguments = params.read_arguments()
        caller = web.authenticate(emulator, arguments)
        if not caller.is_reseller:
            raise NotAuthorizedError
        operation = _operation(arguments)
        call = Call(
            emulator.storage.bounces,
            _customer(caller, arguments),
            arguments,
            emulator.clock,
            RESELLER_PROFILE.bare_delete_means_all,
        )
        return respond(serializer, operation(call))
    except BounceError as error:
        status, document = look_up(error, ERRORS_BY_TYPE)
        return respond(serializer, document, status)


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
    """Return the customer that ``user`` names.

    :raises UnknownNameError: if *reseller* has no such customer, whether or not the
        account exists.
    """
    accounts = current_emulator().storage.accounts
    customer = accounts.find_customer(reseller, arguments.get("user"))
    if customer is None:
        raise UnknownNameError("customer", arguments.get("user"))
    return customer


def render_error(status: int, path: str, account: str | None = None) -> Response:
    """Return a routing error or an injected fault."""
    del account  # all accounts have the same profile here
    document = web.find_by_status(ERRORS_BY_STATUS, status)
    if status not in ERRORS_BY_STATUS:
        document = replace(document, code=status)
    serializer = RESELLER_PROFILE.serializers[web.error_suffix(status, path)]
    return respond(serializer, document, status)


def _read_operation(arguments: Arguments) -> str | None:
    try:
        method, task = _method(arguments), arguments.get("task")
    except ParametersError:
        return None
    return task if (method, task) in TASKS else None


DIALECT = Dialect(
    name=NAME,
    blueprint=bp,
    owns=("/apiv2/", "/api/user."),
    operations=tuple(task for _method, task in TASKS),
    render_error=render_error,
    read_request_info=partial(web.read_request_info, NAME, _read_operation),
    hosts=web.HOSTS,
    key_pattern=web.KEY_PATTERN,
    key_hints=web.KEY_HINTS,
    read_migration=web.read_migration,
)
