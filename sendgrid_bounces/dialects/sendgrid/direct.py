"""The direct calls: ``/api/bounces.{get,delete,count}.{json,xml}``.

Their twin is the resellers' dispatcher: the same operations, another envelope.
"""

from flask import Blueprint, Response, request

from sendgrid_bounces.core.errors import (
    BounceError,
    ContentTypeError,
    CredentialsError,
    NoFilterError,
    ParametersError,
    RequestError,
    StorageError,
)
from sendgrid_bounces.dialects.sendgrid import web
from sendgrid_bounces.dialects.sendgrid.documents import Document
from sendgrid_bounces.dialects.sendgrid.operations import OPERATIONS, Call
from sendgrid_bounces.dialects.sendgrid.params import Arguments
from sendgrid_bounces.dialects.sendgrid.profiles import PROFILES, Profile
from sendgrid_bounces.dialects.sendgrid.serializers import (
    DIRECT_LISTING,
    JSONSerializer,
    XMLSerializer,
)
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web import requests, responses
from sendgrid_bounces.web.dialect import Dialect

bp = Blueprint("sendgrid_direct", __name__)
bp.before_request(requests.refuse_head)

SERIALIZERS: web.Serializers = {
    "json": JSONSerializer((", ", ": "), DIRECT_LISTING),
    "xml": XMLSerializer(),
}

#: Wire: ``Bad username / password``, ``error in <param>: ...`` and the advice to use
#: delete_all are recorded; the rest is inferred.
ERRORS: responses.ErrorTable = {
    CredentialsError: (403, lambda _: ["Bad username / password"]),
    ParametersError: (
        400,
        lambda error: [f"error in {name}: {text}" for name, text in error.problems],
    ),
    NoFilterError: (
        400,
        lambda _: [
            (
                "error in email: no valid parameters provided. "
                "Use delete_all=1 to remove everything"
            )
        ],
    ),
    ContentTypeError: (415, lambda error: [error.reason]),
    RequestError: (400, lambda error: [error.reason]),
    StorageError: (503, lambda _: ["the service is temporarily unavailable"]),
    BounceError: (500, lambda _: ["internal error"]),
}

#: What is said when the request does not get as far as a call, or is made to fail. All
#: is inferred but 401 and 403, which are recorded of wrong credentials. What has no
#: words has those of 400 or 500.
HTTP_ERRORS = {
    400: "bad request",
    401: "Bad username / password",
    403: "Bad username / password",
    404: "there is no such call",
    405: "only GET and POST are allowed",
    408: "the request took too long",
    409: "the request conflicts with another one",
    413: f"the body is larger than {web.MAX_BODY} bytes",
    414: "the URL is too long",
    422: "the request cannot be processed",
    429: "too many requests",
    431: "the headers are too large",
    500: "internal error",
    502: "bad gateway",
    503: "the service is temporarily unavailable",
    504: "gateway timeout",
}


@web.route(bp, "/api/bounces.<any(get, delete, count):task>.<any(json, xml):suffix>")
def bounces(task: str, suffix: str) -> Response:
    """Answer a call on the caller's own list."""
    emulator = current_emulator()
    profile = PROFILES[emulator.config.profile]
    try:
        arguments = web.read_arguments()
        account = web.authenticate(arguments)
        profile = PROFILES[account.profile or emulator.config.profile]
        call = Call(
            emulator.storage.bounces, account, arguments, emulator.clock.now(), profile
        )
        return _respond(OPERATIONS[task](call), suffix, profile)
    except BounceError as error:
        status, errors = responses.render(error, ERRORS)
        return _respond(profile.errors(errors), suffix, profile, status)


def _respond(
    document: Document, suffix: str, profile: Profile, status: int = 200
) -> Response:
    return web.respond(SERIALIZERS, document, suffix, profile, status)


def _render_error(status: int, suffix: str, username: str | None) -> Response:
    emulator = current_emulator()
    account = emulator.storage.accounts.find(username) if username else None
    profile = PROFILES[(account and account.profile) or emulator.config.profile]
    errors = profile.errors([web.refusal(HTTP_ERRORS, status)])
    return _respond(errors, suffix, profile, status)


def _task(_arguments: Arguments) -> str | None:
    return (request.view_args or {}).get("task")


DIALECT = Dialect(
    name="sendgrid.direct",
    blueprint=bp,
    owns=lambda path: path.startswith("/api/"),
    operations=tuple(OPERATIONS),
    render_error=web.error_renderer(_render_error),
    read_request_info=lambda: web.read_request_info("sendgrid.direct", _task),
    hosts=web.HOSTS,
    key_pattern=web.KEY_PATTERN,
)
