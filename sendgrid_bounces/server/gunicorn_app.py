"""Gunicorn with the settings that are right for this application."""

import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.util import close_graceful
from gunicorn.workers.gthread import ThreadWorker

from sendgrid_bounces.app import create_app, render_error
from sendgrid_bounces.config import PREFIX
from sendgrid_bounces.core.errors import BounceError, StorageError
from sendgrid_bounces.server.access_log import RedactingLogger
from sendgrid_bounces.server.sockets import (
    IdleTimeout,
    IdleTimeoutSocket,
    authority,
    shared_tls_context,
)

BACKLOG = 512

#: The variable that tells the workers how long a client may do nothing.
CLIENT_TIMEOUT = f"{PREFIX}TIMEOUT"

#: How long a worker waits, that cannot open the database, before another tries.
RETRY_SECONDS = 1


class ListenError(BounceError):
    """The address cannot be listened on."""


#: What is read of a body that was refused, so that its sender hears the refusal.
DRAIN_SECONDS, DRAIN_BYTES = 2, 64 * 1024 * 1024


class Worker(ThreadWorker):
    """Gunicorn's threads, which let nobody hold one of them, and speak no HTML.

    What is refused here does not get as far as a view. Its URL, which may hold a key,
    is neither answered nor logged.
    """

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection to a thread, with a bound on how long it may do nothing."""
        if not isinstance(conn.sock, IdleTimeout):
            conn.sock = IdleTimeoutSocket(fileno=conn.sock.detach())
            conn.sock.patience = int(os.environ[CLIENT_TIMEOUT])
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Answer a request; return whether the connection is kept.

        What is not is closed here: it takes time, and the worker's main thread has
        none.
        """
        kept = super().handle(conn)
        if kept is False and conn.sock.is_stalled:
            conn.close()
        elif kept is False:
            close_graceful(conn.sock)
        return kept

    def handle_error(
        self, req: Any, client: socket.socket, addr: Any, exc: BaseException
    ) -> None:
        """Answer a request that cannot be parsed, or an application that failed."""
        if isinstance(exc, ssl.SSLError):
            self._refuse_tls(client, addr, exc)
            return
        status = next(
            status for kind, status in REFUSED.items() if isinstance(exc, kind)
        )
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("error handling a request", exc_info=exc)
        response = render_error(self.wsgi, status, _path(exc))
        head = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
        first = f"HTTP/1.1 {status} {status.phrase}\r\nConnection: close\r\n"
        with suppress(OSError):  # the client may have gone
            client.sendall(f"{first}{head}\r\n".encode() + response.data)

    def _refuse_tls(
        self, client: socket.socket, addr: Any, error: ssl.SSLError
    ) -> None:
        """Say why there is no TLS with a client: it may not trust the certificate."""
        reason = (error.reason or str(error)).replace("_", " ").lower()
        self.log.warning("no TLS with %s: %s", addr[0] if addr else "a client", reason)
        if error.reason == "HTTP_REQUEST":  # the answer is as plain
            with suppress(OSError):
                socket.socket.sendall(client, PLAIN_HTTP)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> Any:
        """Read what is left of a refused body: many clients send before they listen."""
        deadline = time.monotonic() + DRAIN_SECONDS
        if conn.sock.is_stalled:
            return False
        if not conn.parser.finish_body(deadline=deadline, max_bytes=DRAIN_BYTES):
            conn.sock.is_stalled = time.monotonic() >= deadline
            return False
        return bool(super()._keepalive_after(conn, keepalive))


#: What a client hears that speaks plain HTTP where TLS is spoken.
PLAIN_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n"
    b"This port speaks TLS: the URL must begin with https://\n"
)

#: What Gunicorn refuses, and how; the first that fits counts.
REFUSED: dict[type[BaseException], HTTPStatus] = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ParseException: HTTPStatus.BAD_REQUEST,
    BaseException: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def _path(error: BaseException) -> str:
    """Return the path of the request line that *error* is about, if it has one."""
    line = getattr(error, "req", "")
    target = line.split(" ")[1:2] if isinstance(line, str) else []
    return target[0].partition("?")[0] if target else ""


def options(settings: Mapping[str, str]) -> dict[str, Any]:
    """Return what differs from Gunicorn's defaults, under Gunicorn's names."""
    return {
        # One for each of a small machine's cores: Python runs on one at a time.
        "workers": int(settings["WORKERS"]),
        # A slow reader takes one for as long as it reads; an idle one costs nothing.
        "threads": int(settings["THREADS"]),
        # Threads, not greenlets: a long list never keeps small calls waiting.
        "worker_class": f"{__name__}.{Worker.__name__}",
        # What the parser can hold: many addresses make a long query string.
        "limit_request_line": 8190,
        # Scripts pause between calls, and a new connection costs more than a kept one.
        "keepalive": 15,
        # Of workers that hang: one whose threads wait for their clients, or send long
        # lists, keeps its heart beating.
        "timeout": 60,
        # For the worker, which knows nothing of our settings.
        "raw_env": [f"{CLIENT_TIMEOUT}={settings['TIMEOUT']}"],
        # A stopping server lets downloads end, but not for ever.
        "graceful_timeout": 10,
        "backlog": BACKLOG,
        "loglevel": "warning",
        "accesslog": settings["ACCESS_LOG"] or None,
        "logger_class": RedactingLogger,
        "certfile": settings["SSL_CERT"] or None,
        "keyfile": settings["SSL_KEY"] or None,
        "ssl_context": shared_tls_context(),
        # No control socket in the user's home folder.
        "control_socket_disable": True,
    }


class Server(BaseApplication):
    """A Gunicorn that serves the application of *settings* on a listening socket.

    :param planted: the seed files, which are planted already.
    :param announce: called once, as soon as requests are answered.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        loaded_seeds: Sequence[str],
        listener: socket.socket,
        announce: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._loaded_seeds = loaded_seeds
        self._descriptor = listener.detach()
        self._announce = announce
        super().__init__()

    def load_config(self) -> None:
        """Set Gunicorn's options."""
        for name, value in options(self._settings).items():
            self.cfg.set(name, value)
        self.cfg.set("bind", f"fd://{self._descriptor}")
        self.cfg.set("post_worker_init", self._started)

    def load(self) -> Any:
        """Make the application, in each worker.

        A database that does not answer just now ends this worker, and not the server.
        """
        try:
            return create_app(self._settings, loaded_seeds=self._loaded_seeds)
        except StorageError as error:
            print(f"Error: {error}", file=sys.stderr)  # noqa: T201
            time.sleep(RETRY_SECONDS)
            sys.exit(1)

    def _started(self, worker: ThreadWorker) -> None:
        if worker.age == 1:
            self._announce()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    :raises ListenError: if the address is wrong or taken.
    """
    if not host:
        raise ListenError("the host to listen on must not be empty")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError, TypeError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        where = authority(host, port)
        raise ListenError(f"cannot listen on {where}: {reason}") from None
    return listener


def address(listener: socket.socket, scheme: str) -> str:
    """Return the URL under which *listener* is reached."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{authority(host, port)}"
