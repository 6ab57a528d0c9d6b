"""The endpoints of sources, to which mail systems and providers post events."""

from flask import Blueprint, Response, current_app, jsonify
from werkzeug.exceptions import RequestEntityTooLarge

from sendgrid_bounces.core.errors import (
    BounceError,
    RequestError,
    StorageError,
    TooManyAttemptsError,
    UnknownNameError,
)
from sendgrid_bounces.core.sources import SOURCES_PATH, Source
from sendgrid_bounces.emulator import Emulator, current_emulator
from sendgrid_bounces.web.requests import request
from sendgrid_bounces.web.responses import ErrorTable, look_up

PATH = f"{SOURCES_PATH}/<name>"

#: Unreadable elements of one request that are logged.
MAX_LOGGED = 10

#: Methods by which providers may probe the endpoint, besides GET.
OTHER_METHODS = ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

#: The only error status after which Mailgun does not repeat a request.
NOT_ACCEPTABLE = 406

UNAUTHORIZED = 401

#: The response if a secret, a library or the owner of the source is missing, or a
#: secret is invalid. The log has the reason, which may name a file or a setting.
NOT_READY = "the source cannot accept requests now"

bp = Blueprint("receiving", __name__)


class RefusedError(Exception):
    """The request was not accepted.

    :param status: of the response.
    :param reason: for the log and the activity of the source.
    :param answer: the message in the response, if strangers should not see *reason*.
    """

    def __init__(self, status: int, reason: str, answer: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.answer = answer or reason


@bp.post(PATH, provide_automatic_options=False)
def receive(name: str) -> Response:
    """Receive the events of a source."""
    emulator = current_emulator()
    source = _find(emulator, name)
    try:
        return _receive(emulator, source)
    except RefusedError as error:
        return _refuse(emulator, source, error)


@bp.get(PATH, provide_automatic_options=False)
def probe(name: str) -> Response:
    """Return the kind of a source, for providers that check the URL."""
    source = _find(current_emulator(), name)
    return jsonify(source=source.name, kind=source.kind)


@bp.route(PATH, methods=OTHER_METHODS, provide_automatic_options=False)
def unknown(name: str) -> Response:
    """Answer a probe by another method."""
    return probe(name)


def _find(emulator: Emulator, name: str) -> Source:
    """Return the source *name*.

    :raises UnknownNameError: if it does not exist, or has no endpoint.
    """
    source = emulator.storage.sources.get(name)
    if source.path is None:
        raise UnknownNameError("source", name)
    return source


def _receive(emulator: Emulator, source: Source) -> Response:
    """Verify, read and store the request.

    :raises RefusedError: if it is not accepted.
    """
    from sendgrid_bounces.receiving.delivery import deliver  # often not needed
    from sendgrid_bounces.receiving.verification import read_request
    from sendgrid_bounces.sources.kinds import KINDS
    from sendgrid_bounces.sources.verification import (
        PayloadError,
        SecretError,
        SignatureError,
    )

    now, system = emulator.clock.now(), emulator.clock.system.now()
    is_mailgun = source.kind == "mailgun"
    max_body = KINDS[source.kind].max_body
    try:
        body = request.read_body(max_body)
        headers = dict(request.headers)
        batch = read_request(source, emulator, headers, body, now, system)
        counts = deliver(emulator.storage, source, batch, now, system).counts
    except RequestEntityTooLarge:
        raise RefusedError(413, f"the body exceeds {max_body} bytes") from None
    except RequestError as error:
        raise RefusedError(400, error.reason) from None
    except SignatureError as error:
        status = NOT_ACCEPTABLE if is_mailgun else UNAUTHORIZED
        raise RefusedError(status, str(error)) from None
    except PayloadError as error:
        status = NOT_ACCEPTABLE if is_mailgun else 400
        raise RefusedError(status, str(error)) from None
    except (SecretError, UnknownNameError) as error:
        raise RefusedError(503, str(error), NOT_READY) from None
    for problem in batch.skipped[:MAX_LOGGED]:
        current_app.logger.warning("source %s: %s", source.name, problem)
    return jsonify(
        listed=counts.listed,
        known=counts.known,
        ignored=counts.ignored,
        skipped=counts.skipped,
    )


def _refuse(emulator: Emulator, source: Source, error: RefusedError) -> Response:
    """Count and log a refused request, and return the response."""
    current_app.logger.warning("source %s: refused: %s", source.name, error)
    try:
        now = emulator.clock.now()
        emulator.storage.sources.refuse(source.name, str(error), now)
    except StorageError as failure:
        current_app.logger.warning("refusal not counted: %s", failure)
    response = jsonify(error=error.answer)
    response.status_code = error.status
    if error.status == UNAUTHORIZED:
        # Amazon SNS sends the password of a URL only after this.
        response.headers["WWW-Authenticate"] = 'Basic realm="sources"'
    return response


@bp.errorhandler(BounceError)
def _render_error(error: BounceError) -> tuple[Response, int]:
    status, message = look_up(error, ERROR_TABLE)
    return jsonify(error=message), status


ERROR_TABLE: ErrorTable = {
    UnknownNameError: (404, str),
    TooManyAttemptsError: (429, lambda _: "too many wrong passwords"),
    StorageError: (503, lambda _: "the database does not answer"),
    BounceError: (400, str),
}
