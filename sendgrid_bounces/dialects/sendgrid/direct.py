"""The direct calls: ``/api/bounces.{get,delete,count}.{json,xml}``.

The resellers' dispatcher offers the same operations in another envelope.
"""

from collections.abc import Callable
from functools import partial

from sendgrid_bounces.core.errors import (
    BounceError,
    ContentTypeError,
    CredentialsError,
    NoFilterError,
    ParametersError,
    RequestError,
    StorageError,
    TooManyAttemptsError,
)
from sendgrid_bounces.dialects.sendgrid import params, web
from sendgrid_bounces.dialects.sendgrid.documents import ErrorList
from sendgrid_bounces.dialects.sendgrid.operations import OPERATIONS, Call
from sendgrid_bounces.dialects.sendgrid.profiles import find_profile
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web.dialect import Dialect
from sendgrid_bounces.web.requests import request
from sendgrid_bounces.web.responses import ErrorTable, Response, look_up, respond

NAME = "sendgrid.direct"

bp = web.blueprint("sendgrid_direct")


def _message(text: str) -> Callable[[BounceError], ErrorList]:
    """Return a function that renders an error as *text*."""
    return lambda _: ErrorList((text,))


#: Wire: ``Bad username / password``, ``error in <param>: ...`` and the advice to use
#: delete_all are recorded; the rest is inferred.
ERRORS_BY_TYPE: ErrorTable = {
    CredentialsError: (403, _message("Bad username / password")),
    ParametersError: (
        400,
        lambda error: ErrorList(
            tuple(f"error in {name}: {text}" for name, text in error.problems)
        ),
    ),
    NoFilterError: (
        400,
        _message(
            "error in email: no valid parameters provided. "
            "Use delete_all=1 to remove everything"
        ),
    ),
    ContentTypeError: (415, lambda error: ErrorList((error.reason,))),
    RequestError: (400, lambda error: ErrorList((error.reason,))),
    TooManyAttemptsError: (429, _message("too many requests")),
    StorageError: (503, _message("the service is temporarily unavailable")),
    BounceError: (500, _message("internal error")),
}

#: The messages of routing errors and injected faults. Other statuses have the message
#: of 400 or 500.
#: Wire: 401 and 403 are recorded for wrong credentials; the rest is inferred.
ERRORS_BY_STATUS = {
    400: "bad request",
    401: "Bad username / password",
    403: "Bad username / password",
    404: "there is no such call",
    405: "only GET and POST are allowed",
    408: "the request took too long",
    409: "the request conflicts with another one",
    413: f"the body is larger than {params.MAX_BODY} bytes",
    414: "the URL is too long",
    422: "the request cannot be processed",
    429: "too many requests",
    431: "the headers are too large",
    500: "internal error",
    502: "bad gateway",
    503: "the service is temporarily unavailable",
    504: "gateway timeout",
}


@bp.route(
    "/api/bounces.<any(get, delete, count):task>.<any(json, xml):suffix>",
    methods=["GET", "POST"],
)
def bounces(task: str, suffix: str) -> Response:
    """Run an operation on the caller's own list."""
    emulator = current_emulator()
    profile = find_profile(emulator.config.profile)
    try:
        arguments = params.read_arguments()
        account = web.authenticate(emulator, arguments)
        profile = find_profile(account.profile or emulator.config.profile)
        call = Call(
            emulator.storage.bounces,
            account,
            arguments,
            emulator.clock,
            profile.bare_delete_means_all,
        )
        return respond(profile.serializers[suffix], OPERATIONS[task](call))
    except BounceError as error:
        status, document = look_up(error, ERRORS_BY_TYPE)
        return respond(profile.serializers[suffix], document, status)


def render_error(status: int, path: str, account: str | None = None) -> Response:
    """Return a routing error or an injected fault, in the profile of *account*."""
    emulator = current_emulator()
    known = emulator.storage.accounts.find(account) if account else None
    profile = find_profile((known and known.profile) or emulator.config.profile)
    document = ErrorList((web.find_by_status(ERRORS_BY_STATUS, status),))
    serializer = profile.serializers[web.error_suffix(status, path)]
    return respond(serializer, document, status)


def _read_operation(_arguments: params.Arguments) -> str | None:
    return (request.view_args or {}).get("task")


DIALECT = Dialect(
    name=NAME,
    blueprint=bp,
    owns=("/api/",),
    operations=tuple(OPERATIONS),
    render_error=render_error,
    read_request_info=partial(web.read_request_info, NAME, _read_operation),
    hosts=web.HOSTS,
    key_pattern=web.KEY_PATTERN,
    key_hints=web.KEY_HINTS,
    read_migration=web.read_migration,
)
