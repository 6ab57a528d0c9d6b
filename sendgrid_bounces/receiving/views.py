"""The endpoints of sources, to which mail systems and providers post events."""

from flask import Blueprint, Response, current_app, jsonify
from werkzeug.exceptions import RequestEntityTooLarge

from sendgrid_bounces.core.errors import (
    BounceError,
    RequestError,
    StorageError,
    UnknownNameError,
)
from sendgrid_bounces.core.sources import SOURCES_PATH, Source
from sendgrid_bounces.emulator import Emulator, current_emulator
from sendgrid_bounces.web.requests import request
from sendgrid_bounces.web.responses import log_failure

#: Maximum size of a request body in bytes. Mail systems accept mails of 10 MB.
MAX_BODY = 16 * 1024 * 1024

#: Unreadable elements of one request that are logged.
MAX_LOGGED = 10

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

#: The status for a request that a repeat would not mend. Mailgun repeats all others.
_FINAL = {"mailgun": 406}

bp = Blueprint("receiving", __name__)


class RefusedError(Exception):
    """The request was not accepted.

    :param status: of the response.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@bp.route(f"{SOURCES_PATH}/<name>", methods=METHODS, provide_automatic_options=False)
def source(name: str) -> Response:
    """Receive events by POST. Providers probe the URL by other methods."""
    emulator = current_emulator()
    try:
        found = emulator.storage.sources.find(name)
    except StorageError as error:
        log_failure(error)
        return _error(503, "the database does not answer")
    if found is None or found.path is None:
        return _error(404, f"there is no source {name[:64]!r}")
    if request.method != "POST":
        return jsonify(source=found.name, kind=found.kind)
    try:
        return _receive(emulator, found)
    except RefusedError as error:
        return _refuse(emulator, found, error)
    except StorageError as error:
        log_failure(error)
        return _error(503, "the database does not answer")


def _receive(emulator: Emulator, source: Source) -> Response:
    """Verify, read and store the request.

    :raises RefusedError: if it is not accepted.
    :raises StorageError: if the database does not answer.
    """
    from sendgrid_bounces.receiving.credentials import SecretError
    from sendgrid_bounces.receiving.delivery import deliver  # often not needed
    from sendgrid_bounces.receiving.verification import read_request
    from sendgrid_bounces.sources.verification import PayloadError, SignatureError

    now = emulator.clock.now()
    try:
        body = request.read_body(MAX_BODY)
        headers = dict(request.headers)
        batch = read_request(source, emulator.authenticator, headers, body, now)
        receipt = deliver(emulator.storage, source, batch, now)
    except RequestEntityTooLarge:
        raise RefusedError(413, f"the body exceeds {MAX_BODY} bytes") from None
    except RequestError as error:
        raise RefusedError(400, error.reason) from None
    except SignatureError as error:
        raise RefusedError(_FINAL.get(source.kind, 401), str(error)) from None
    except PayloadError as error:
        raise RefusedError(_FINAL.get(source.kind, 400), str(error)) from None
    except (SecretError, UnknownNameError) as error:
        raise RefusedError(503, str(error)) from None
    for problem in batch.skipped[:MAX_LOGGED]:
        current_app.logger.warning("source %s: %s", source.name, problem)
    counts = receipt.counts
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
    except BounceError as failure:
        current_app.logger.warning("refusal not counted: %s", failure)
    return _error(error.status, str(error))


def _error(status: int, message: str) -> Response:
    response = jsonify(error=message)
    response.status_code = status
    if status == 401:  # noqa: PLR2004 - Amazon SNS waits for this before it sends the password
        response.headers["WWW-Authenticate"] = 'Basic realm="sources"'
    return response
