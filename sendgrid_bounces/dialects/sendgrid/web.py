"""SendGrid's side of HTTP: reading requests, knowing the caller, answering.

What a request says is read strictly: a body that does not parse must not look like
one without parameters, since to delete without parameters deletes everything.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from itertools import chain, islice
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
)
from werkzeug.formparser import MultiPartParser

from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.errors import BounceError, ContentTypeError, RequestError
from sendgrid_bounces.dialects.sendgrid.documents import Document
from sendgrid_bounces.dialects.sendgrid.params import Arguments
from sendgrid_bounces.dialects.sendgrid.profiles import Profile
from sendgrid_bounces.dialects.sendgrid.serializers import (
    JSONSerializer,
    XMLSerializer,
)
from sendgrid_bounces.emulator import current_emulator

METHODS = ("GET", "POST")

#: Bounds of a request: bytes of its body, parameters in it.
MAX_BODY = 1024 * 1024
MAX_PARAMETERS = 2_000

XML_HEADERS = {"Content-Type": "text/xml; charset=ISO-8859-1"}

_EMAIL = re.compile(r"email(\[[0-9]*\])?")

Pairs = Iterable[tuple[str, str]]
View = TypeVar("View", bound=Callable[..., Response])
Serializers = Mapping[str, JSONSerializer | XMLSerializer]


def read_arguments() -> Arguments:
    """Return what the request says, in its query string and its body.

    Of a parameter that comes twice the first text that is not empty counts;
    ``email`` may come often, also as ``email[]`` and ``email[0]``.

    :raises RequestError: if a part cannot be read.
    """
    body = _read_body()
    try:
        pairs = chain(_split(request.query_string), _parse_body(body))
        texts: dict[str, str] = {}
        emails = []
        for name, value in pairs:
            if not value:
                continue
            if _EMAIL.fullmatch(name):
                emails.append(value)
            else:
                texts.setdefault(name, value)
    except UnicodeDecodeError:
        raise RequestError("the request is not UTF-8") from None
    except ValueError as error:
        raise RequestError(f"the request cannot be parsed: {error}") from None
    return Arguments(texts, emails)


def authenticate(arguments: Arguments) -> Account:
    """Return the account that calls.

    :raises CredentialsError: if ``api_user`` and ``api_key`` are not an account's.

    Wire: old clients send Basic credentials beside the parameters, or instead of them.
    """
    username, key = (arguments.texts.get(name, "") for name in ("api_user", "api_key"))
    basic = request.authorization
    if not username and not key and basic is not None and basic.type == "basic":
        username, key = basic.username or "", basic.password or ""
    return current_emulator().credentials.authenticate(username, key)


def route(bp: Blueprint, rule: str) -> Callable[[View], View]:
    """Return a decorator that lets *bp* answer GET and POST, and nothing else."""
    return bp.route(rule, methods=METHODS, provide_automatic_options=False)


def respond(
    serializers: Serializers,
    document: Document,
    suffix: str,
    profile: Profile,
    status: int,
) -> Response:
    """Return *document* in the format of *suffix*: a stream if it is long.

    The first pieces are made here, so that what fails at once can be told.
    """
    pieces = serializers[suffix].pieces(document)
    headers = profile.json_headers if suffix == "json" else XML_HEADERS
    first = list(islice(pieces, 3))
    body = b"".join(first) if len(first) < 3 else chain(first, pieces)  # noqa: PLR2004
    return Response(body, status, Headers(headers.items()))


#: An error class: the status it answers, and the words for one of its errors.
Wording = Mapping[type[BounceError], tuple[int, Callable[[Any], Any]]]


def word(error: BounceError, wording: Wording) -> tuple[int, Any]:
    """Return the status and the words that *wording* has for *error*."""
    kind = next(kind for kind in type(error).__mro__ if kind in wording)
    status, words = wording[kind]
    return status, words(error)


def refusal_wording(
    word: Callable[[int, str], Response],
) -> Callable[[int, str], Response]:
    """Return what words (status, path), from what words (status, suffix).

    Wire: 404 is worded in JSON; else what the path asks for counts.
    """

    def word_refusal(status: int, path: str) -> Response:
        is_xml = path.endswith(".xml") and status != NotFound.code
        return word(status, "xml" if is_xml else "json")

    return word_refusal


def refuse_other_methods() -> None:
    """Refuse what the router lets pass with GET: a HEAD must not delete anything."""
    if request.method not in METHODS:
        raise MethodNotAllowed(METHODS)


def _split(encoded: bytes) -> Pairs:
    return parse_qsl(
        encoded.decode(),
        keep_blank_values=True,
        errors="strict",
        max_num_fields=MAX_PARAMETERS,
    )


def _read_body() -> bytes:
    """Return the body, which must be whole and not too large."""
    request.max_content_length = MAX_BODY + 1
    try:
        body = request.stream.read()
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001 - each WSGI server has its own for bad chunks
        raise RequestError("the body cannot be read") from None
    if len(body) > MAX_BODY:
        raise RequestEntityTooLarge
    if request.content_length not in (None, len(body)):
        raise RequestError("the body ends early")
    return body


def _parse_body(body: bytes) -> Pairs:
    if not body:
        return ()
    parse = BODIES.get(request.mimetype)
    if parse is None:
        raise ContentTypeError(f"cannot read a body of type {request.mimetype!r}")
    return parse(body)


def _parse_multipart(body: bytes) -> Pairs:
    boundary = request.mimetype_params.get("boundary", "").encode()
    if not boundary:
        raise ValueError("multipart without a boundary")
    parser = _MultiPartParser(
        max_form_memory_size=MAX_BODY, max_form_parts=MAX_PARAMETERS
    )
    form, _files = parser.parse(BytesIO(body), boundary, len(body))
    return [
        (name, value.encode("latin-1").decode())
        for name, value in form.items(multi=True)
    ]


class _MultiPartParser(MultiPartParser):
    """Werkzeug's, which replaces what is not UTF-8; here it is left for the caller.

    Latin-1 stands for the bytes themselves.
    """

    def get_part_charset(self, headers: Headers) -> str:
        return "latin-1"


BODIES: Mapping[str, Callable[[bytes], Pairs]] = {
    "application/x-www-form-urlencoded": _split,
    "multipart/form-data": _parse_multipart,
}
