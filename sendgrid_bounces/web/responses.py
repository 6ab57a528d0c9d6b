"""HTTP responses: streamed bodies, and errors rendered from a vendor's table."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import flask
from flask import current_app, request
from werkzeug.http import HTTP_STATUS_CODES

from sendgrid_bounces.core.errors import BounceError, StorageError
from sendgrid_bounces.web.connections import disconnect

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Error class -> HTTP status, and the function that renders an error of the class.
ErrorTable = Mapping[type[BounceError], tuple[int, Callable[[Any], Any]]]

#: The status lines, by those of Werkzeug, in which the phrases are in capitals.
STATUS_LINES = {
    f"{code} {text.upper()}": f"{code} {text}"
    for code, text in HTTP_STATUS_CODES.items()
}


#: The line of the log about a database failure.
FAILURE = "%s %r failed: %s"


class Response(flask.Response):
    """The response to a request.

    :param rows_changed: bounces added, replaced or removed; None for a read.
    """

    rows_changed: int | None = None

    def get_wsgi_response(
        self, environ: "WSGIEnvironment"
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Return body, status line and headers; the phrase is that of the standard."""
        pieces = self.response
        if (
            type(pieces) is list
            and self.status_code == HTTPStatus.OK
            and environ["REQUEST_METHOD"] != "HEAD"
            and not self._on_close
        ):  # Werkzeug would look for headers to correct, and copy all of them
            return pieces, "200 OK", self.headers.to_wsgi_list()
        body, status, headers = super().get_wsgi_response(environ)
        return body, STATUS_LINES.get(status, status), headers


Piece = TypeVar("Piece", bytes, str)
Doc = TypeVar("Doc", bound="Document", contravariant=True)


class ErrorRenderer(Protocol):
    """A function that renders routing errors and injected faults."""

    def __call__(
        self, status: int, path: str, account: str | None = None
    ) -> flask.Response:
        """Return the vendor's response for an HTTP status.

        :param account: the unverified account name of the caller, if known.
        """


class Document(Protocol):
    """The result of an operation."""

    @property
    def rows_changed(self) -> int | None:
        """Bounces added, replaced or removed; None for a read."""


class Serializer(Protocol[Doc]):
    """A format of documents."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The response headers."""

    def pieces(self, document: Doc, /) -> Iterable[bytes]:
        """Return the bytes of *document*, in pieces."""


def respond(serializer: Serializer[Doc], document: Doc, status: int = 200) -> Response:
    """Return a response: with a ``Content-Length`` if it is short, else a stream.

    The first pieces are produced here, so that an early error can still be rendered.
    """
    pieces = iter(serializer.pieces(document))
    first = list(islice(pieces, 3))
    is_short = len(first) < 3  # noqa: PLR2004
    body = b"".join(first) if is_short else chain(first, send_rest(pieces))
    response = Response(body, status, serializer.headers)
    response.rows_changed = document.rows_changed
    return response


def send_rest(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Return *pieces* to be sent after the status.

    An error, such as that of the database, can no longer change the status. The
    connection ends without the end of the body.
    """
    environ, logger = request.environ, current_app.logger

    def rest() -> Iterator[Piece]:
        try:
            yield from pieces
        except BounceError as error:
            method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO")
            logger.error(FAILURE, method, path, error)  # noqa: TRY400 - no traceback
            if not disconnect(environ):
                raise

    return rest()


def look_up(error: BounceError, table: ErrorTable) -> tuple[int, Any]:
    """Return the status of *error* and its rendering, from the most specific class."""
    if isinstance(error, StorageError):
        log_failure(error)
    kind = next(kind for kind in type(error).__mro__ if kind in table)
    status, render = table[kind]
    return status, render(error)


def log_failure(error: StorageError) -> None:
    """Log the cause of a database failure, which no response contains."""
    current_app.logger.error(FAILURE, request.method, request.path, error)
