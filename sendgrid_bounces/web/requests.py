"""HTTP as all dialects need it: requests read strictly, answers that can be long.

A body that does not parse must never look like one without parameters: to some vendors
a call without parameters means everything.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from io import BytesIO
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

from flask import Blueprint, Response, g, request
from werkzeug.datastructures import Authorization, Headers
from werkzeug.exceptions import MethodNotAllowed, RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser
from werkzeug.routing import BaseConverter

from sendgrid_bounces.core.errors import (
    BounceError,
    ContentTypeError,
    RequestError,
)

#: How many parameters a request may have.
MAX_PARAMETERS = 2_000

#: How much is looked at of a query string that does not parse.
MAX_QUERY = 16_384

Pairs = Iterable[tuple[str, str]]
View = TypeVar("View", bound=Callable[..., Response])
Read = TypeVar("Read")
Reader = Callable[[int], Read]

#: An error class: the status it answers, and what is said of one of its errors.
ErrorTable = Mapping[type[BounceError], tuple[int, Callable[[Any], Any]]]


class AddressConverter(BaseConverter):
    """An address in a path, which may hold slashes anywhere."""

    regex = ".+"
    part_isolating = False


def route(bp: Blueprint, rule: str, *methods: str) -> Callable[[View], View]:
    """Return a decorator that lets *bp* answer *methods*, and no other of itself."""
    return bp.route(rule, methods=methods, provide_automatic_options=False)


def refuse_head() -> None:
    """Refuse HEAD, which the router lets pass with GET: it must not delete anything."""
    if request.method == "HEAD" and request.url_rule is not None:
        raise MethodNotAllowed(sorted(request.url_rule.methods or ()))


def cached(read: Reader[Read]) -> Reader[Read]:
    """Make *read* read each request once: what it returned or raised, it does again.

    A body can be read once only, and more than one may want to know what is in it.
    """

    @wraps(read)
    def recall(limit: int) -> Read:
        if read.__name__ not in g:
            try:
                setattr(g, read.__name__, (read(limit), None))
            except (RequestError, RequestEntityTooLarge) as error:
                setattr(g, read.__name__, (None, error))
        value, refused = g.get(read.__name__)
        if refused is not None:
            raise refused
        return cast(Read, value)

    return recall


@cached
def read_body(limit: int) -> bytes:
    """Return the body.

    :raises RequestError: if it is not whole.
    :raises RequestEntityTooLarge: if it has more than *limit* bytes.
    """
    request.max_content_length = limit + 1
    with reading():
        body = request.stream.read()
    if len(body) > limit:
        raise RequestEntityTooLarge
    if request.content_length not in (None, len(body)):
        raise RequestError("the body ends early")
    return body


@cached
def read_pairs(limit: int) -> list[tuple[str, str]]:
    """Return the parameters of the query string, then those of a form in the body.

    :param limit: bytes that the body may have.
    :raises ContentTypeError: if there is a body that is no form.
    :raises RequestError: if a part does not parse.
    """
    body = read_body(limit)
    query = read_query()
    with _parsing():
        return [*query, *_parse_form(body)]


def read_query() -> list[tuple[str, str]]:
    """Return the parameters of the query string.

    :raises RequestError: if it does not parse, or may not be whole.
    """
    if "#" in request.environ.get("RAW_URI", ""):
        raise RequestError("the URL has a fragment")
    with _parsing():
        return _split(request.query_string)


def read_authorization() -> Authorization | None:
    """Return the credentials in the head; none if they do not parse."""
    try:
        return request.authorization
    except ValueError:  # Werkzeug's parser expects ASCII
        return None


def peek_pairs() -> list[tuple[str, str]]:
    """Return the parameters as far as they are known, without reading a body.

    They are those that were read; else those of the query string, as they may be.
    """
    pairs, _error = g.get("read_pairs", (None, None))
    if pairs is not None:
        return list(pairs)
    query = request.query_string[:MAX_QUERY].decode(errors="replace")
    return parse_qsl(query, keep_blank_values=True, errors="replace")


@contextmanager
def reading() -> Iterator[None]:
    """Make whatever happens while a body is read a :class:`RequestError`."""
    try:
        yield
    except RequestEntityTooLarge:
        raise
    except Exception:  # noqa: BLE001 - each WSGI server has its own for bad chunks
        raise RequestError("the body cannot be read") from None


@contextmanager
def _parsing() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise RequestError("the request is not UTF-8") from None
    except ValueError as error:
        raise RequestError(f"the request cannot be parsed: {error}") from None


def _split(encoded: bytes) -> list[tuple[str, str]]:
    return parse_qsl(
        encoded.decode(),
        keep_blank_values=True,
        errors="strict",
        max_num_fields=MAX_PARAMETERS,
    )


def _parse_urlencoded(body: bytes) -> Pairs:
    if any(piece and b"=" not in piece for piece in body.split(b"&")):
        raise ValueError("a parameter without a value")
    return _split(body)


def _parse_form(body: bytes) -> Pairs:
    if not body:
        return ()
    parse = FORMS.get(request.mimetype)
    if parse is None:
        raise ContentTypeError(f"cannot read a body of type {request.mimetype!r}")
    return parse(body)


def _parse_multipart(body: bytes) -> Pairs:
    boundary = request.mimetype_params.get("boundary", "").encode()
    if not boundary:
        raise ValueError("multipart without a boundary")
    parser = _MultiPartParser(
        max_form_memory_size=len(body), max_form_parts=MAX_PARAMETERS
    )
    try:
        form, files = parser.parse(BytesIO(body), boundary, len(body))
    except RequestEntityTooLarge:
        raise ValueError(f"more than {MAX_PARAMETERS} parts") from None
    sent = [file for group in files.listvalues() for file in group]
    for file in sent:
        file.close()
    if sent:
        raise ValueError("a part is a file")
    pairs = [(name, text) for name, text in form.items(multi=True)]
    if not pairs or not all(name for name, _ in pairs):
        raise ValueError("a part has no name")
    return [(name, text.encode("latin-1").decode()) for name, text in pairs]


class _MultiPartParser(MultiPartParser):
    """Werkzeug's, which replaces what is not UTF-8; here it is left for the caller.

    Latin-1 stands for the bytes themselves.
    """

    def get_part_charset(self, headers: Headers) -> str:
        return "latin-1"


FORMS: Mapping[str, Callable[[bytes], Pairs]] = {
    "application/x-www-form-urlencoded": _parse_urlencoded,
    "multipart/form-data": _parse_multipart,
}
