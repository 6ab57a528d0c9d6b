"""HTTP responses: streamed bodies, and errors rendered from a vendor's table."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Protocol

from flask import Response, current_app, g, request
from werkzeug.datastructures import Headers

from sendgrid_bounces.core.errors import BounceError, StorageError

#: An error class -> its status, and the function that renders one of its errors.
ErrorTable = Mapping[type[BounceError], tuple[int, Callable[[Any], Any]]]


class ErrorRenderer(Protocol):
    """Words what does not get as far as a view, or is made to fail."""

    def __call__(self, status: int, path: str, username: str | None = None) -> Response:
        """Return the answer of a HTTP status to a path.

        :param username: who claims to call, if that is known: it may see other words.
        """


def set_rows(number: int) -> None:
    """Note for the journal how many bounces the request has changed."""
    g.rows = number


def respond(pieces: Iterator[bytes], status: int, headers: Headers) -> Response:
    """Return a response of *pieces*: whole if it is small, a stream if it is long.

    The first pieces are made here, so that what fails at once can be told.
    """
    first = list(islice(pieces, 3))
    body = b"".join(first) if len(first) < 3 else chain(first, pieces)  # noqa: PLR2004
    return Response(body, status, headers)


def render(error: BounceError, wording: ErrorTable) -> tuple[int, Any]:
    """Return the status and the words that *wording* has for *error*."""
    if isinstance(error, StorageError):
        log_failure(error)
    kind = next(kind for kind in type(error).__mro__ if kind in wording)
    status, words = wording[kind]
    return status, words(error)


def log_failure(error: StorageError) -> None:
    """Log why the database failed: no vendor's answer says it."""
    current_app.logger.error("%s %r failed: %s", request.method, request.path, error)
