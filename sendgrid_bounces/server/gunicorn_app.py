"""Gunicorn, adapted: its worker, its settings, and the server that ``serve`` runs."""

import os
import socket
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.util import close_graceful
from gunicorn.workers.gthread import ThreadWorker

from sendgrid_bounces.app import create_app, render_error
from sendgrid_bounces.config import Config, load_config
from sendgrid_bounces.core.errors import BounceError, StorageError
from sendgrid_bounces.server.access_log import TERMINAL_FORMAT, RedactingLogger
from sendgrid_bounces.server.sockets import (
    BACKLOG,
    IdleTimeout,
    IdleTimeoutSocket,
    shared_tls_context,
)

#: Seconds between a worker that cannot open the database and the next attempt.
RETRY_SECONDS = 1

#: Limits on reading the rest of a refused body: many clients send all of a request
#: before they read the response.
DRAIN_SECONDS, DRAIN_BYTES = 2, 64 * 1024 * 1024

#: The statuses of errors that reach no view; the first match counts.
ERROR_STATUSES: dict[type[BaseException], HTTPStatus] = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ParseException: HTTPStatus.BAD_REQUEST,
    BaseException: HTTPStatus.INTERNAL_SERVER_ERROR,
}

#: The response to a plain HTTP request on a TLS port.
PLAIN_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n"
    b"This port speaks TLS: the URL must begin with https://\n"
)


class Worker(ThreadWorker):
    """Gunicorn's threaded worker with an idle timeout, and with errors of the vendors.

    A malformed request is answered without its URL, which can contain an API key, and
    is not logged.
    """

    #: Seconds without progress after which a client is disconnected.
    idle_timeout = 30

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread, with the idle timeout on its socket."""
        if not isinstance(conn.sock, IdleTimeout):
            conn.sock = IdleTimeoutSocket(fileno=conn.sock.detach())
            conn.sock.idle_timeout = self.idle_timeout
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Handle a request; return whether the connection is kept.

        A finished connection is closed in the thread of its request: closing takes
        time, which the main thread of the worker does not have.
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
        """Respond to a malformed request, or to a failure of the application."""
        if isinstance(exc, ssl.SSLError):
            self._handle_tls_error(client, addr, exc)
            return
        status = next(s for kind, s in ERROR_STATUSES.items() if isinstance(exc, kind))
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("error handling a request", exc_info=exc)
        response = render_error(self.wsgi, status, _path(exc))
        head = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
        first = f"HTTP/1.1 {status} {status.phrase}\r\nConnection: close\r\n"
        with suppress(OSError):  # the client can be gone
            client.sendall(f"{first}{head}\r\n".encode() + response.data)

    def _handle_tls_error(
        self, client: socket.socket, addr: Any, error: ssl.SSLError
    ) -> None:
        """Log a failed TLS handshake; respond to a client that uses plain HTTP."""
        reason = (error.reason or str(error)).replace("_", " ").lower()
        name = addr[0] if addr else "a client"
        self.log.warning("TLS handshake with %s failed: %s", name, reason)
        if error.reason == "HTTP_REQUEST":
            with suppress(OSError):
                socket.socket.sendall(client, PLAIN_HTTP)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> Any:
        """Read the rest of the body; return whether the connection is kept."""
        deadline = time.monotonic() + DRAIN_SECONDS
        if conn.sock.is_stalled:
            return False
        if not conn.parser.finish_body(deadline=deadline, max_bytes=DRAIN_BYTES):
            conn.sock.is_stalled = time.monotonic() >= deadline
            return False
        return bool(super()._keepalive_after(conn, keepalive))


def _path(error: BaseException) -> str:
    """Return the path in the request line of a parse error, or an empty string."""
    line = getattr(error, "req", "")
    target = line.split(" ")[1:2] if isinstance(line, str) else []
    return target[0].partition("?")[0] if target else ""


def gunicorn_settings(config: Config) -> dict[str, Any]:
    """Return the settings of Gunicorn that differ from its defaults."""

    def set_idle_timeout(_arbiter: Any, worker: Worker) -> None:
        worker.idle_timeout = config.timeout

    return {
        # A process runs Python code on one core; small machines have two.
        "workers": config.workers,
        # A slow reader occupies a thread; idle threads cost nothing.
        "threads": config.threads,
        # Threads instead of greenlets: a long list never delays small requests.
        "worker_class": f"{__name__}.{Worker.__name__}",
        "post_fork": set_idle_timeout,
        # The maximum of the parser: many addresses make a long query string.
        "limit_request_line": 8190,
        # Scripts pause between calls, and connecting costs more than keeping.
        "keepalive": 15,
        # Detects hung workers only: threads that wait for clients do not delay the
        # heartbeat.
        "timeout": 60,
        # A stopping server lets downloads finish, up to this many seconds.
        "graceful_timeout": 10,
        "backlog": BACKLOG,
        "loglevel": "warning",
        "accesslog": config.access_log or None,
        "logger_class": RedactingLogger,
        "certfile": config.ssl_cert or None,
        "keyfile": config.ssl_key or None,
        "ssl_context": shared_tls_context(),
        # No control socket in the home folder of the user.
        "control_socket_disable": True,
    }


def load_app(config: Config | None) -> Flask:
    """Return the application of a worker process, or exit with a message.

    :param config: the settings of the parent process, which has prepared the database;
        None to read the settings from the environment and load the seed files here.
    """
    try:
        if config is None:
            return create_app(load_config(environment=os.environ))
        return create_app(config, load_seeds=False)
    except StorageError as error:
        # Gunicorn starts another worker, which can succeed once the database is back.
        sys.stderr.write(f"Error: {error}\n")
        time.sleep(RETRY_SECONDS)
        sys.exit(1)
    except BounceError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(Arbiter.APP_LOAD_ERROR)


class Server(BaseApplication):
    """A Gunicorn that serves the application of *config* on a listening socket.

    The database is prepared already.

    :param announce: called once, when the first worker accepts requests.
    :param shows_requests: whether to print a line for each request on stderr, if there
        is no access log.
    """

    def __init__(
        self,
        config: Config,
        listener: socket.socket,
        announce: Callable[[], None],
        *,
        shows_requests: bool = False,
    ) -> None:
        self._config = config
        self._shows_requests = shows_requests and not config.access_log
        self._descriptor = listener.detach()
        self._announce = announce
        super().__init__()

    def load_config(self) -> None:
        """Apply the settings of Gunicorn."""
        for name, value in gunicorn_settings(self._config).items():
            self.cfg.set(name, value)
        if self._shows_requests:
            self.cfg.set("accesslog", "-")
            self.cfg.set("access_log_format", TERMINAL_FORMAT)
        self.cfg.set("bind", f"fd://{self._descriptor}")
        self.cfg.set("post_worker_init", self._announce_first)

    def load(self) -> Flask:
        """Return the application, in a worker."""
        return load_app(self._config)

    def _announce_first(self, worker: ThreadWorker) -> None:
        if worker.age == 1:
            self._announce()
