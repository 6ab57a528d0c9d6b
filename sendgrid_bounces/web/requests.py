"""Strict requests: a body that does not parse is never mistaken for an empty one.

Some vendors delete a whole list on a call without parameters, so a request that cannot
be parsed completely is an error.
"""

import re
import select
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from functools import cached_property, lru_cache
from itertools import chain, islice
from typing import IO, Any, TypeVar, cast

import flask
from werkzeug.datastructures import Authorization, FileStorage, MultiDict
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    RequestEntityTooLarge,
    RequestTimeout,
)
from werkzeug.formparser import FormDataParser
from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Event,
    Field,
    File,
    MultipartDecoder,
    State,
)

from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.attempts import UNKNOWN, client_at
from sendgrid_bounces.core.errors import BounceError, ContentTypeError, RequestError
from sendgrid_bounces.core.files import is_refused, temporary_error
from sendgrid_bounces.core.forms import MAX_BOUNDARY, decode_form_text
from sendgrid_bounces.redaction import SECRET_FIELD, find_credentials, find_secrets
from sendgrid_bounces.web.connections import client_socket
from sendgrid_bounces.web.responses import Response
from sendgrid_bounces.web.routing import Route

#: The media types of forms.
URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"

#: Parameters that a request may have.
MAX_PARAMETERS = 2_000

#: Bytes of an unparsed query string that the request log reads.
MAX_LENIENT_QUERY = 16_384

#: Items of an upload between checks that the client is still connected.
CHECK_INTERVAL = 10_000

#: Bytes of an upload's body besides the file.
MAX_MULTIPART_OVERHEAD = 64 * 1024

#: Parts of an upload, and bytes of the header fields of a part, which are read in
#: chunks of 64 KiB.
MAX_UPLOAD_PARTS, MAX_UPLOAD_HEAD = 20, 128 * 1024

#: Bytes of the header fields of a part of a form, and of all parts together, which take
#: much time and memory to parse.
MAX_PART_HEAD, MAX_PART_HEADS = 4 * 1024, 256 * 1024

#: The boundary of a form.
BOUNDARY = re.compile(f"[ -~]{{1,{MAX_BOUNDARY}}}")

#: The end of the header fields of a part.
_HEAD_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")

#: Bytes that are read at once of a body of lines, and that a line may have.
CHUNK_SIZE, MAX_LINE = 64 * 1024, 1024 * 1024

Item = TypeVar("Item")
Parameters = list[tuple[str, str]]

#: Key of the WSGI environment with the parameters, for the access log of the server.
PARAMETERS = "sendgrid_bounces.parameters"


class _FormDataParser(FormDataParser):
    """Werkzeug's parser, which decodes percent-encoding in pieces."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]:
        """Return the stream, the fields of a form and its files.

        :raises ValueError: if the form does not parse.
        """
        if mimetype == URLENCODED:
            return stream, self.cls(_split(stream.read())), self.cls()
        return super().parse(stream, mimetype, content_length, options)


class StrictRequest(flask.Request):
    """A request that is read and parsed once, completely or not at all.

    Fault matching, the request log and the view share the result.
    """

    form_data_parser_class = _FormDataParser

    #: The account of the domain in the path, once the view has found it.
    domain_owner: str | None = None

    #: The account of the API key, or the reason why there is none; None until known.
    caller: Account | BounceError | None = None

    #: The parameters as the dialect has parsed them; None until then.
    arguments: Any = None

    #: The observation of the request by the control endpoints, if they are on.
    exchange: Any = None

    # The errors are copies, without a traceback: it refers to this request, so that the
    # body would stay in memory until the garbage collector runs.
    _body: bytes | None = None
    _body_error: Exception | None = None
    _parameters: Parameters | None = None
    _parameters_error: RequestError | None = None

    def read_body(self, limit: int) -> bytes:
        """Return the body.

        :raises RequestError: if it is incomplete.
        :raises RequestEntityTooLarge: if it is longer than *limit* bytes.
        :raises RequestTimeout: if the client sends it too slowly.
        """
        if self._body_error is not None:  # the stream cannot be read again
            raise copy(self._body_error)
        if self._body is None and not (
            self.environ.get("CONTENT_LENGTH")
            or "HTTP_TRANSFER_ENCODING" in self.environ
        ):
            self._body = b""
        if self._body is None:
            try:
                self._body = self._read_stream(limit)
            except (RequestError, HTTPException) as error:
                self._body_error = copy(error)
                raise
        return self._body

    def read_parameters(self, limit: int) -> Parameters:
        """Return the parameters of the query string, then those of a form body.

        :param limit: bytes that the body may have.
        :raises ContentTypeError: if the body is not a form.
        :raises RequestError: if a part does not parse.
        :raises RequestEntityTooLarge: if the body is longer than *limit* bytes.
        """
        if self._parameters_error is not None:
            raise copy(self._parameters_error)
        if self._parameters is None:
            body = self.read_body(limit)
            try:
                pairs = self.read_query()
                self._parameters = [*pairs, *self._parse_form(body)] if body else pairs
            except RequestError as error:
                self._parameters_error = copy(error)
                raise
            self.environ[PARAMETERS] = self._parameters
        return self._parameters

    def read_query(self) -> Parameters:
        """Return the parameters of the query string.

        :raises RequestError: if it does not parse, or may be incomplete.
        """
        if "#" in self.environ.get("RAW_URI", ""):
            raise RequestError("the URL has a fragment")
        return _parse(_split, self.query_string) if self.query_string else []

    def read_form(self) -> None:
        """Parse the body, so that ``form`` and ``files`` raise no error.

        :raises RequestError: if the body cannot be read or parsed.
        :raises RequestEntityTooLarge: if it exceeds ``max_content_length``.
        :raises RequestTimeout: if the client sends it too slowly.
        :raises StorageError: if a file in it cannot be stored temporarily.
        """
        boundary = self.mimetype_params.get("boundary", "")
        if self.mimetype == MULTIPART and not BOUNDARY.fullmatch(boundary):
            raise RequestError("the form has no valid boundary")
        try:
            self._load_form_data()
        except RequestEntityTooLarge:
            raise
        except Exception as error:
            if is_refused(error):  # a large file is stored temporarily
                raise temporary_error(error) from error
            raise self._read_error() from None

    def read_upload(self, limit: int) -> IO[bytes] | None:
        """Return the uploaded file, spooled to disk; None without a file.

        :param limit: bytes that the file may have.
        :raises RequestError: if the body cannot be read, or has several files.
        :raises RequestEntityTooLarge: if it is longer; before it is read, if the
            ``Content-Length`` header is too large.
        """
        self.max_content_length = limit + MAX_MULTIPART_OVERHEAD
        self.max_form_parts = MAX_UPLOAD_PARTS
        self.max_form_memory_size = MAX_UPLOAD_HEAD
        self.read_form()
        uploads = [*chain.from_iterable(self.files.listvalues())]
        if len(uploads) > 1:
            raise RequestError("the form has more than one file")
        if not uploads:
            return None
        (upload,) = uploads
        if upload.stream.seek(0, 2) > limit:
            raise RequestEntityTooLarge
        upload.stream.seek(0)
        return upload.stream

    def while_connected(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield *items*, which take long if they are many.

        :raises RequestError: if the client disconnects meanwhile.
        """
        iterator = iter(items)
        yield from islice(iterator, CHECK_INTERVAL)
        for item in iterator:
            if not self._is_client_connected():
                raise RequestError("the client has disconnected")
            yield from chain([item], islice(iterator, CHECK_INTERVAL))

    def read_lines(self) -> Iterator[bytes]:
        """Yield the lines of a body of any length while it arrives.

        :raises RequestError: if it is incomplete, or a line too long.
        :raises RequestTimeout: if the client sends it too slowly.
        """
        received, rest = 0, b""
        while chunk := self._read_chunk():
            received += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > MAX_LINE:
                raise RequestError("a line is too long")
        if self.content_length not in (None, received):
            raise RequestError("the body ends early")
        if rest:
            yield rest

    @cached_property
    def shown_parameters(self) -> Parameters:
        """The parsed parameters, or a lenient parse of the query string, for logs."""
        if self._parameters is not None:
            return self._parameters
        pieces = self.query_string[:MAX_LENIENT_QUERY].split(b"&")
        return [_decode_pair(piece, "replace") for piece in pieces if piece]

    @property
    def server_url(self) -> str:
        """The URL of the root of the server, as the client spells its host.

        Werkzeug's ``host_url`` fails for a host name that is not valid in IDNA.

        :raises RequestError: if the ``Host`` header is malformed.
        """
        if not self.host:
            raise RequestError("the Host header is not valid")
        return f"{self.scheme}://{self.host}"

    def find_secrets(self) -> list[str]:
        """Return the credentials in the parameters, and in header fields for them."""
        secrets = find_secrets(self.shown_parameters)
        for name in _secret_fields(tuple(self.environ)):
            secrets += find_credentials(self.environ[name])
        return secrets

    @property
    def bearer_token(self) -> str:
        """The token of the scheme Bearer (RFC 6750); empty if there is none.

        Werkzeug takes a token with a "=" before its end for parameters.
        """
        field = self.environ.get("HTTP_AUTHORIZATION", "")
        scheme, _, token = field.partition(" ")
        return token.strip(" \t") if scheme.lower() == "bearer" else ""

    @cached_property
    def authorization(self) -> Authorization | None:
        """The credentials in the ``Authorization`` header; None if malformed."""
        try:
            return super().authorization
        except ValueError:  # Werkzeug's parser accepts ASCII only
            return None

    def _read_error(self) -> Exception:
        """Return the error for a body that could not be read."""
        if getattr(client_socket(self.environ), "is_stalled", False):
            return RequestTimeout()
        return RequestError("the body cannot be read")

    def _is_client_connected(self) -> bool:
        """Return whether the client is still connected, as far as can be known."""
        connection = client_socket(self.environ)
        if connection is None or not hasattr(select, "poll"):  # not on Windows
            return True
        if connection.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(connection, getattr(select, "POLLRDHUP", 0))  # not on macOS
        return not poll.poll(0)

    def _read_chunk(self) -> bytes:
        try:
            return self.stream.read(CHUNK_SIZE)
        except Exception:  # noqa: BLE001 - WSGI servers raise their own error classes
            raise self._read_error() from None

    def _read_stream(self, limit: int) -> bytes:
        self.max_content_length = limit + 1
        try:
            body = self.stream.read()
        except RequestEntityTooLarge:
            raise
        except Exception:  # noqa: BLE001 - WSGI servers raise their own error classes
            raise self._read_error() from None
        if len(body) > limit:
            raise RequestEntityTooLarge
        if self.content_length not in (None, len(body)):
            raise RequestError("the body ends early")
        return body

    def _parse_form(self, body: bytes) -> Parameters:
        try:
            parse = FORMS[self.mimetype]
        except KeyError:
            raise ContentTypeError(
                f"cannot read a body of type {self.mimetype!r}"
            ) from None
        return _parse(lambda body: parse(body, self.mimetype_params), body)


class Application(flask.Flask):
    """A Flask application with strict requests."""

    request_class = StrictRequest
    response_class = Response
    url_rule_class = Route


#: The current request, with its type.
request = cast(StrictRequest, flask.request)


#: Returns the current request itself, which is faster to use than a proxy.
current_request = cast(
    Callable[[], StrictRequest],
    flask.request._get_current_object,  # type: ignore[attr-defined] # noqa: SLF001 - the documented method of proxies
)


@lru_cache(maxsize=64)
def _secret_fields(names: tuple[str, ...]) -> list[str]:
    """Return the *names* of header fields in an environment that hold credentials."""
    fields = [name for name in names if name.startswith("HTTP_")]
    return [name for name in fields if SECRET_FIELD.search(name)]


def current_client() -> str:
    """Return the client of the current request; an empty text outside of requests."""
    if not flask.has_request_context():
        return ""
    return client_at(current_request().remote_addr or UNKNOWN)


def refuse_head() -> None:
    """Reject HEAD, which the router accepts with GET: SendGrid's GET can delete.

    :raises MethodNotAllowed: if the request's method is HEAD.
    """
    if request.method == "HEAD" and request.url_rule is not None:
        raise MethodNotAllowed(sorted(request.url_rule.methods or ()))


def _parse(parse: Callable[[bytes], Parameters], encoded: bytes) -> Parameters:
    """Call *parse* and turn its errors into :class:`RequestError`."""
    try:
        return parse(encoded)
    except UnicodeDecodeError:
        raise RequestError("the request is not UTF-8") from None
    except ValueError as error:
        raise RequestError(f"the request cannot be parsed: {error}") from None


def _split(encoded: bytes) -> Parameters:
    """Return the parameters in *encoded*, as parse_qsl() does, but three times faster.

    :raises ValueError: if they are too many or not UTF-8.
    """
    pieces = encoded.split(b"&", MAX_PARAMETERS)
    if len(pieces) > MAX_PARAMETERS:
        raise ValueError("Max number of fields exceeded")
    # Decoded text can take four times the memory, so that no two copies of all exist.
    if b"%" in encoded or b"+" in encoded:
        return [_decode_pair(p) for p in pieces if p]
    return [p.decode().partition("=")[::2] for p in pieces if p]


def _decode_pair(encoded: bytes, errors: str = "strict") -> tuple[str, str]:
    """Return a name and its value, which is empty if there is none.

    :raises ValueError: if they are not UTF-8 and *errors* is "strict".
    """
    name, _, value = encoded.partition(b"=")
    if b"%" in encoded or b"+" in encoded:
        name, value = decode_form_text(name), decode_form_text(value)
    return name.decode(errors=errors), value.decode(errors=errors)


def _parse_urlencoded(body: bytes, _options: Mapping[str, str]) -> Parameters:
    pieces = body.split(b"&", MAX_PARAMETERS)
    if len(pieces) <= MAX_PARAMETERS and any(p and b"=" not in p for p in pieces):
        raise ValueError("a parameter without a value")
    return _split(body)


def _parse_multipart(body: bytes, options: Mapping[str, str]) -> Parameters:
    text = options.get("boundary", "")
    if not BOUNDARY.fullmatch(text):
        raise ValueError("the form has no valid boundary")
    decoder = _Decoder(text.encode(), max_parts=MAX_PARAMETERS)
    decoder.receive_data(body)
    decoder.receive_data(None)
    pairs: list[tuple[str, bytes]] = []
    try:
        while not isinstance(event := decoder.next_event(), Epilogue):
            match event:
                case File():
                    raise ValueError("a part is a file")
                case Field():
                    name = event.name
                case Data():
                    pairs.append((name, event.data))
    except RequestEntityTooLarge:
        raise ValueError(f"more than {MAX_PARAMETERS} parts") from None
    if not pairs or not all(name for name, _ in pairs):
        raise ValueError("a part has no name")
    return [(name, value.decode()) for name, value in pairs]


class _Decoder(MultipartDecoder):
    """Werkzeug's decoder, with limits on the header fields of parts."""

    _heads = 0

    def next_event(self) -> Event:
        """Return the next event of a body that is complete.

        :raises ValueError: if the form does not parse.
        """
        if self.state == State.PART:
            end = _HEAD_END.search(self.buffer, 0, MAX_PART_HEAD)
            if end is None:
                raise ValueError(
                    "the header fields of a part are too long, or do not end"
                )
            self._heads += end.end()
            if self._heads > MAX_PART_HEADS:
                raise ValueError("the header fields of the parts are too long")
        return super().next_event()


#: The media types of forms, each with its parser.
FORMS: Mapping[str, Callable[[bytes, Mapping[str, str]], Parameters]] = {
    URLENCODED: _parse_urlencoded,
    MULTIPART: _parse_multipart,
}
