"""The effects of fault rules on responses and connections."""

import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from flask import Response, request

from sendgrid_bounces.core.faults import FaultRule, Match
from sendgrid_bounces.web import responses
from sendgrid_bounces.web.connections import disconnect

#: Bytes that ``truncate: true`` sends of a stream, since half of it is unknown.
STREAM_KEPT = 16_384


class ConnectionDropped(ConnectionError):  # noqa: N818 - an effect, not an error
    """A fault rule dropped the connection of an in-process request."""


class Dropped(responses.Response):
    """A response that drops the connection instead of being sent."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Drop the connection; the server's writes to it are lost."""
        drop_connection(environ)
        return super().__call__(environ, start_response)


def drop_connection(environ: Any) -> None:
    """Shut down the connection of a request.

    :raises ConnectionDropped: if there is no connection, in process.
    """
    if not disconnect(environ):
        raise ConnectionDropped("a fault rule dropped the connection")


def replace_response(
    match: Match, render: Callable[[int], Response], *, sends_retry_after: bool
) -> Response | None:
    """Return the response to send instead of handling the request, if there is one.

    Sleeps first if the rule has a latency.

    :param render: renders a status in the vendor's format.
    :param sends_retry_after: whether a rate limit sets ``Retry-After``, a delay,
        besides ``X-RateLimit-Reset``, an instant.
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
        if sends_retry_after:
            response.headers["Retry-After"] = str(match.window_end - match.now)
        response.headers["X-RateLimit-Limit"] = str(rule.limit)
        response.headers["X-RateLimit-Remaining"] = "0"
        response.headers["X-RateLimit-Reset"] = str(match.window_end)
    return response


def alter_response(rule: FaultRule, response: Response) -> Response:
    """Apply the effects of *rule* on the response to a handled request."""
    if rule.drop_connection == "after":
        return Dropped()
    if rule.truncate is not None:
        _truncate(response, rule.truncate)
    if rule.malformed:
        _cut_end(response)
    return response


def _truncate(response: Response, kept: int | bool) -> None:  # noqa: FBT001 - True is half
    """Truncate the body but keep the original Content-Length."""
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
    drop_connection(environ)


def _cut_end(response: Response) -> None:
    """Cut the end of the body, so that it is neither JSON nor XML."""
    if response.is_sequence:
        body = response.get_data()
        response.set_data(body[: len(body) // 2])
    else:
        response.response = _without_end(response.iter_encoded())


def _without_end(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield all pieces except the second half of the last one."""
    last = b""
    for piece in pieces:
        if last:
            yield last
        last = piece
    yield last[: len(last) // 2]
