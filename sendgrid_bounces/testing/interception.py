"""Calls to the vendors' hosts, turned aside to a WSGI application of this process.

Requests are taken from Requests by ``responses``, and from HTTPX (and HTTPX 2, which
Mailgun's SDK uses) where their public transports take them. What goes elsewhere goes on
its way.
"""

import io
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import unquote_to_bytes, urlsplit

from werkzeug.test import run_wsgi_app

from sendgrid_bounces.control.api import IN_PROCESS
from sendgrid_bounces.control.effects import ConnectionDropped

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

#: The vendors' hosts.
HOSTS = (
    "sendgrid.com",
    "www.sendgrid.com",
    "api.sendgrid.com",
    "api.mailgun.net",
    "api.eu.mailgun.net",
)

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")

_PORTS = {"http": 80, "https": 443}

_OURS = "|".join(re.escape(host) for host in HOSTS)
_OUR_URL = re.compile(
    rf"https?://([^/?#]*@)?({_OURS})\.?(:[0-9]*)?(?![^/?#])", re.IGNORECASE
)
_OTHER_URL = re.compile(f"(?!{_OUR_URL.pattern})", re.IGNORECASE)


class Disconnected(Exception):  # noqa: N818 - it was asked for
    """A fault rule ends the connection: before the answer, or amid it."""

    def __init__(self, *, is_amid: bool) -> None:
        super().__init__("the server closed the connection")
        self.is_amid = is_amid


class TimedOut(Exception):  # noqa: N818 - as above
    """The answer took longer than the client waits."""


@dataclass(frozen=True, slots=True)
class WsgiResponse:
    """What the application answers."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def call_wsgi(
    app: "WSGIApplication",
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    patience: float | None,
) -> WsgiResponse:
    """Return what *app* answers to a request, as a server would put it.

    :param patience: seconds that the client waits.
    :raises Disconnected: if it does not, or not all of it.
    :raises TimedOut: when it does, but too late.
    """
    began = time.monotonic()
    environ = _environ(method, url, headers, body)
    try:
        pieces, status, answered = run_wsgi_app(app, environ)
    except ConnectionDropped:
        raise Disconnected(is_amid=False) from None
    try:
        content = b"".join(pieces)
    except ConnectionDropped:
        raise Disconnected(is_amid=True) from None
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
    if patience is not None and time.monotonic() - began > patience:
        raise TimedOut
    return WsgiResponse(int(status.split()[0]), list(answered), content)


def _environ(
    method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes
) -> "WSGIEnvironment":
    parts = urlsplit(url)
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": parts.query,
        "RAW_URI": target,
        "REQUEST_URI": target,
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": parts.hostname or "",
        "SERVER_PORT": str(parts.port or _PORTS[parts.scheme]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": parts.netloc.rpartition("@")[2],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        IN_PROCESS: True,
    }
    sent: dict[str, str] = {}
    for name, value in headers:
        if "_" in name:  # as servers do, which could not tell it from a hyphen
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        sent[key] = f"{sent[key]},{value}" if key in sent else value
    return {**environ, **sent}


@contextmanager
def intercept(app: "WSGIApplication") -> Iterator[None]:
    """Let *app* answer the calls of this process to :data:`HOSTS`.

    :raises RuntimeError: if there is nothing to intercept, or no means to do it.
    """
    found = [name for name in INTERCEPTORS if find_spec(name)]
    if not found:
        raise RuntimeError(
            "mock_bounces() intercepts the calls of Requests and HTTPX, and neither is "
            "installed: use EmulatorServer"
        )
    with ExitStack() as stack:
        for name in found:
            stack.enter_context(INTERCEPTORS[name](name, app))
        yield


@contextmanager
def _intercepting_requests(_name: str, app: "WSGIApplication") -> Iterator[None]:
    try:
        import responses
    except ImportError:
        raise RuntimeError(
            "mock_bounces() needs the package responses to intercept the calls of "
            "Requests: pip install 'sendgrid-bounces[testing]'"
        ) from None
    from requests import adapters, exceptions

    def answer(request: Any) -> Any:
        headers = [(_text(name), _text(v)) for name, v in request.headers.items()]
        patience = _patience(request.req_kwargs.get("timeout"))
        call = (request.method, request.url, headers, _body(request.body), patience)
        try:
            answered = call_wsgi(app, *call)
        except Disconnected as error:
            amid, before = exceptions.ChunkedEncodingError, exceptions.ConnectionError
            kind = amid if error.is_amid else before
            raise kind(str(error), request=request) from None
        except TimedOut:
            raise exceptions.ReadTimeout("Read timed out.", request=request) from None
        return answered.status, answered.headers, answered.body

    mocked = responses.RequestsMock(
        assert_all_requests_are_fired=False,
        # What is not ours goes to whoever would have had it without us.
        real_adapter_send=adapters.HTTPAdapter.send,
    )
    mocked.add_passthru(_OTHER_URL)
    for method in METHODS:
        mocked.add_callback(method, _OUR_URL, answer, content_type=None)
    with mocked:
        yield


@contextmanager
def _intercepting_httpx(name: str, app: "WSGIApplication") -> Iterator[None]:
    """Intercept the calls of the package *name*: HTTPX, or its successor."""
    httpx = import_module(name)
    answer = partial(_answer_httpx, httpx, app)
    kinds = (
        (httpx.HTTPTransport, "handle_request", _diverted),
        (httpx.AsyncHTTPTransport, "handle_async_request", _diverted_async),
    )
    with ExitStack() as stack:
        for transport, method, divert in kinds:
            diverted = divert(getattr(transport, method), answer)
            stack.enter_context(mock.patch.object(transport, method, diverted))
        yield


def _answer_httpx(httpx: Any, app: "WSGIApplication", request: Any) -> Any:
    headers = [(_text(name), _text(value)) for name, value in request.headers.raw]
    patience = request.extensions.get("timeout", {}).get("read")
    call = (request.method, str(request.url), headers, request.content, patience)
    try:
        answered = call_wsgi(app, *call)
    except Disconnected as error:
        raise httpx.RemoteProtocolError(str(error), request=request) from None
    except TimedOut:
        raise httpx.ReadTimeout(
            "The read operation timed out", request=request
        ) from None
    return httpx.Response(
        answered.status,
        headers=[
            (n.encode("latin-1"), v.encode("latin-1")) for n, v in answered.headers
        ],
        stream=httpx.ByteStream(answered.body),
    )


def _diverted(
    send: Callable[[Any, Any], Any], answer: Callable[[Any], Any]
) -> Callable[[Any, Any], Any]:
    """Return the method *send* of a transport, but for what *answer* answers."""

    def handle_request(transport: Any, request: Any) -> Any:
        if not _OUR_URL.match(str(request.url)):
            return send(transport, request)
        request.read()
        return answer(request)

    return handle_request


def _diverted_async(
    send: Callable[[Any, Any], Awaitable[Any]], answer: Callable[[Any], Any]
) -> Callable[[Any, Any], Awaitable[Any]]:
    """Return the same as :func:`_diverted` of an asynchronous transport."""

    async def handle_async_request(transport: Any, request: Any) -> Any:
        if not _OUR_URL.match(str(request.url)):
            return await send(transport, request)
        await request.aread()
        # In a thread: the application can take its time, and must not take others'.
        return await import_module("anyio.to_thread").run_sync(answer, request)

    return handle_async_request


def _patience(timeout: Any) -> float | None:
    """Return for how long one reads that gives Requests this: a pair, urllib3's, ..."""
    if isinstance(timeout, tuple):
        timeout = timeout[1]
    elif hasattr(timeout, "start_connect"):
        begun = timeout.clone()
        begun.start_connect()
        timeout = begun.read_timeout
    return timeout if isinstance(timeout, int | float) else None


def _body(body: Any) -> bytes:
    """Return the whole of a body of Requests: none, text, bytes, or pieces of it."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    return b"".join(_body(piece) for piece in body)


def _text(header: str | bytes) -> str:
    return header if isinstance(header, str) else header.decode("latin-1")


INTERCEPTORS: dict[str, Any] = {
    "requests": _intercepting_requests,
    "httpx": _intercepting_httpx,
    "httpx2": _intercepting_httpx,
}
