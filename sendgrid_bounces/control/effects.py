"""What a fault rule that fires does to an answer, and to the connection."""

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from flask import Response, request

from sendgrid_bounces.core.faults import FaultRule, Match

#: Where a WSGI server tells an application of its connection.
SOCKETS = ("gunicorn.socket", "werkzeug.socket")

#: What is sent of half a list that is streamed, whose length nobody knows, in bytes.
STREAM_KEPT = 16_384


class ConnectionDropped(ConnectionError):  # noqa: N818 - it was asked for
    """The connection was dropped, where there is none: within one process."""


class Dropped(Response):
    """No answer: the connection ends where it should begin."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Hang up. What the server writes after that goes nowhere."""
        hang_up(environ)
        return super().__call__(environ, start_response)


def hang_up(environ: Any) -> None:
    """End the connection that a request came on.

    :raises ConnectionDropped: if there is none.
    """
    connection = next((environ[name] for name in SOCKETS if name in environ), None)
    if connection is None:
        raise ConnectionDropped("a fault rule drops this connection")
    with suppress(OSError):  # the client was faster
        connection.shutdown(socket.SHUT_RDWR)


def answer_instead(match: Match, render: Callable[[int], Response]) -> Response | None:
    """Return what is answered instead of doing what is asked for, if anything is.

    :param word: makes the vendor's answer of a status.
    """
    rule = match.rule
    if rule.latency_ms is not None:
        time.sleep(rule.latency_ms / 1000)
    if rule.drop_connection == "before":
        return Dropped()
    status = rule.status
    if status is None and rule.limit is not None:
        status = HTTPStatus.TOO_MANY_REQUESTS
    if status is None:
        return None
    response = render(status)
    if rule.retry_after is not None:
        response.headers["Retry-After"] = str(rule.retry_after)
    if match.window_end is not None:
        response.headers["Retry-After"] = str(match.window_end - match.now)
        response.headers["X-RateLimit-Limit"] = str(rule.limit)
        response.headers["X-RateLimit-Remaining"] = "0"
        response.headers["X-RateLimit-Reset"] = str(match.window_end)
    return response


def spoil(rule: FaultRule, response: Response) -> Response:
    """Return what becomes of *response* on its way to the client."""
    if rule.drop_connection == "after":
        return Dropped()
    if rule.truncate is not None:
        _truncate(response, rule.truncate)
    if rule.malformed:
        _break(response)
    return response


def _truncate(response: Response, kept: int | bool) -> None:  # noqa: FBT001 - True is half
    """Let the body end early, while the head tells of all of it if it can."""
    if response.is_sequence:
        body = response.get_data()
        wanted = len(body) // 2 if kept is True else kept
        pieces: Iterable[bytes] = [body[: max(len(body) - 1, 0)]]
    else:
        wanted = STREAM_KEPT if kept is True else kept
        pieces = response.iter_encoded()
    response.response = _cut(pieces, wanted, request.environ)


def _cut(pieces: Iterable[bytes], kept: int, environ: Any) -> Iterator[bytes]:
    for piece in pieces:
        yield piece[:kept]
        kept -= len(piece)
        if kept <= 0:
            break
    hang_up(environ)


def _break(response: Response) -> None:
    """Cut the body where neither JSON nor XML may end: before the last bracket."""
    if response.is_sequence:
        body = response.get_data()
        response.set_data(body[: len(body) // 2])
    else:
        response.response = _without_end(response.iter_encoded())


def _without_end(pieces: Iterable[bytes]) -> Iterator[bytes]:
    last = b""
    for piece in pieces:
        if last:
            yield last
        last = piece
    yield last[: len(last) // 2]
