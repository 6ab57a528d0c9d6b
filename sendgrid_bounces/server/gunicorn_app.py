"""Gunicorn with the settings that are right for this application."""

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
from sendgrid_bounces.server.access_log import RedactingLogger
from sendgrid_bounces.server.sockets import (
    IdleTimeout,
    IdleTimeoutSocket,
    authority,
    shared_tls_context,
)

BACKLOG = 512

#: Seconds between a worker that cannot open the database and the next attempt.
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

    #: Seconds without progress after which a client is disconnected.
    idle_timeout = 30

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection to a thread, with a bound on how long it may do nothing."""
        if not isinstance(conn.sock, IdleTimeout):
            conn.sock = IdleTimeoutSocket(fileno=conn.sock.detach())
            conn.sock.patience = self.idle_timeout
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


def options(config: Config) -> dict[str, Any]:
    """Return the settings of Gunicorn that differ from its defaults."""

    def set_idle_timeout(_arbiter: Any, worker: Worker) -> None:
        worker.idle_timeout = config.timeout

    return {
        # One for each core of a small machine: a process runs Python on one core.
        "workers": config.workers,
        # A slow reader occupies one; idle ones cost nothing.
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
    """

    def __init__(
        self, config: Config, listener: socket.socket, announce: Callable[[], None]
    ) -> None:
        self._config = config
        self._descriptor = listener.detach()
        self._announce = announce
        super().__init__()

    def load_config(self) -> None:
        """Set the options of Gunicorn."""
        for name, value in options(self._config).items():
            self.cfg.set(name, value)
        self.cfg.set("bind", f"fd://{self._descriptor}")
        self.cfg.set("post_worker_init", self._announce_first)

    def load(self) -> Flask:
        """Return the application, in a worker."""
        return load_app(self._config)

    def _announce_first(self, worker: ThreadWorker) -> None:
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
