"""Interception of HTTP client libraries: requests to vendors go to a WSGI application.

``responses`` intercepts Requests. HTTPX, and its successor HTTPX 2 in Mailgun's SDK,
are intercepted at their public transports.
"""

import io
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
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

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")

_PORTS = {"http": 80, "https": 443}


class ConnectionClosedError(Exception):
    """A fault closed the connection.

    :param in_body: whether the response had begun.
    """

    def __init__(self, *, in_body: bool) -> None:
        super().__init__("the server closed the connection")
        self.in_body = in_body


class ReadTimeoutError(Exception):
    """The response took longer than the timeout of the client."""


@dataclass(frozen=True, slots=True)
class WsgiResponse:
    """A complete response of a WSGI application."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def call_wsgi(
    app: "WSGIApplication",
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    timeout: float | None,
) -> WsgiResponse:
    """Return the response of *app* to one request, as a client would receive it.

    :param timeout: the read timeout of the client in seconds, or None.
    :raises ConnectionClosedError: if a fault closes the connection.
    :raises ReadTimeoutError: if the response takes longer than *timeout*.
    """
    start = time.monotonic()
    environ = _environ(method, url, headers, body)
    try:
        pieces, status, response_headers = run_wsgi_app(app, environ)
    except ConnectionDropped:
        raise ConnectionClosedError(in_body=False) from None
    try:
        content = b"".join(pieces)
    except ConnectionDropped:
        raise ConnectionClosedError(in_body=True) from None
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
    if timeout is not None and time.monotonic() - start > timeout:
        raise ReadTimeoutError
    return WsgiResponse(int(status.split()[0]), list(response_headers), content)


def _environ(
    method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes
) -> "WSGIEnvironment":
    """Return the WSGI environment that a server would build for a request."""
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
    variables: dict[str, str] = {}
    for name, value in headers:
        if "_" in name:  # servers drop such fields: "_" is ambiguous with "-" in WSGI
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        variables[key] = f"{variables[key]},{value}" if key in variables else value
    return {**environ, **variables}


@contextmanager
def intercept(app: "WSGIApplication", hosts: Iterable[str]) -> Iterator[None]:
    """Send all requests of this process to *hosts* to *app*, in a ``with`` block.

    :raises RuntimeError: if no supported HTTP library is installed, or ``responses`` is
        missing.
    """
    installed = [name for name in INTERCEPTORS if find_spec(name)]
    if not installed:
        raise RuntimeError(
            "mock_bounces() intercepts Requests and HTTPX, but neither is installed: "
            "use EmulatorServer"
        )
    names = "|".join(re.escape(host) for host in hosts)
    vendor_url = re.compile(
        rf"https?://([^/?#]*@)?({names})\.?(:[0-9]*)?(?![^/?#])", re.IGNORECASE
    )
    with ExitStack() as stack:
        for name in installed:
            stack.enter_context(INTERCEPTORS[name](name, app, vendor_url))
        yield


@contextmanager
def _intercept_requests(
    _name: str, app: "WSGIApplication", vendor_url: re.Pattern[str]
) -> Iterator[None]:
    try:
        import responses
    except ImportError:
        raise RuntimeError(
            "mock_bounces() needs the package responses to intercept Requests: "
            "pip install responses"
        ) from None
    from requests import adapters

    mocked = responses.RequestsMock(
        assert_all_requests_are_fired=False,
        # An enclosing mock, if any, handles the requests to other hosts.
        real_adapter_send=adapters.HTTPAdapter.send,
    )
    mocked.add_passthru(re.compile(f"(?!{vendor_url.pattern})", re.IGNORECASE))
    respond = partial(_respond_requests, app)
    for method in METHODS:
        mocked.add_callback(method, vendor_url, respond, content_type=None)
    with mocked:
        yield


def _respond_requests(app: "WSGIApplication", request: Any) -> Any:
    from requests import exceptions

    headers = [(_text(name), _text(v)) for name, v in request.headers.items()]
    timeout = _read_timeout(request.req_kwargs.get("timeout"))
    call = (request.method, request.url, headers, _body(request.body), timeout)
    try:
        response = call_wsgi(app, *call)
    except ConnectionClosedError as error:
        raised = (
            exceptions.ChunkedEncodingError
            if error.in_body
            else exceptions.ConnectionError
        )
        raise raised(str(error), request=request) from None
    except ReadTimeoutError:
        raise exceptions.ReadTimeout("Read timed out.", request=request) from None
    return response.status, response.headers, response.body


def _read_timeout(timeout: Any) -> float | None:
    """Return the read timeout in *timeout*, any value that Requests accepts."""
    if isinstance(timeout, tuple):
        timeout = timeout[1]
    elif hasattr(timeout, "start_connect"):  # urllib3.Timeout
        started = timeout.clone()
        started.start_connect()
        timeout = started.read_timeout
    return timeout if isinstance(timeout, int | float) else None


def _body(body: Any) -> bytes:
    """Return the content of *body*, any value that Requests accepts."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    return b"".join(_body(piece) for piece in body)


@contextmanager
def _intercept_httpx(
    name: str, app: "WSGIApplication", vendor_url: re.Pattern[str]
) -> Iterator[None]:
    httpx = import_module(name)
    respond = partial(_respond_httpx, httpx, app)
    transports = (
        (httpx.HTTPTransport, "handle_request", _divert),
        (httpx.AsyncHTTPTransport, "handle_async_request", _divert_async),
    )
    with ExitStack() as stack:
        for transport, method, divert in transports:
            replacement = divert(getattr(transport, method), respond, vendor_url)
            stack.enter_context(mock.patch.object(transport, method, replacement))
        yield


def _respond_httpx(httpx: Any, app: "WSGIApplication", request: Any) -> Any:
    headers = [(_text(name), _text(value)) for name, value in request.headers.raw]
    timeout = request.extensions.get("timeout", {}).get("read")
    call = (request.method, str(request.url), headers, request.content, timeout)
    try:
        response = call_wsgi(app, *call)
    except ConnectionClosedError as error:
        raise httpx.RemoteProtocolError(str(error), request=request) from None
    except ReadTimeoutError:
        raise httpx.ReadTimeout(
            "The read operation timed out", request=request
        ) from None
    return httpx.Response(
        response.status,
        headers=[
            (n.encode("latin-1"), v.encode("latin-1")) for n, v in response.headers
        ],
        stream=httpx.ByteStream(response.body),
    )


def _divert(
    send: Callable[[Any, Any], Any],
    respond: Callable[[Any], Any],
    vendor_url: re.Pattern[str],
) -> Callable[[Any, Any], Any]:
    """Return a replacement of a transport's method *send* that answers vendor URLs."""

    def handle_request(transport: Any, request: Any) -> Any:
        if not vendor_url.match(str(request.url)):
            return send(transport, request)
        request.read()
        return respond(request)

    return handle_request


def _divert_async(
    send: Callable[[Any, Any], Awaitable[Any]],
    respond: Callable[[Any], Any],
    vendor_url: re.Pattern[str],
) -> Callable[[Any, Any], Awaitable[Any]]:
    """Return the same as :func:`_divert` for an asynchronous transport."""

    async def handle_async_request(transport: Any, request: Any) -> Any:
        if not vendor_url.match(str(request.url)):
            return await send(transport, request)
        await request.aread()
        # A thread keeps the event loop free: the application is synchronous.
        return await import_module("anyio.to_thread").run_sync(respond, request)

    return handle_async_request


def _text(header: str | bytes) -> str:
    return header if isinstance(header, str) else header.decode("latin-1")


#: Interceptors by the name of the package that they intercept.
INTERCEPTORS: dict[
    str,
    Callable[[str, "WSGIApplication", re.Pattern[str]], AbstractContextManager[None]],
] = {
    "requests": _intercept_requests,
    "httpx": _intercept_httpx,
    "httpx2": _intercept_httpx,
}
