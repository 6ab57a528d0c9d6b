"""A real server in this process, on a free port, for a test suite."""

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from os import PathLike
from threading import Lock, Thread
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from sendgrid_bounces.control.service import Control
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.server.sockets import authority
from sendgrid_bounces.server.tls import server_context
from sendgrid_bounces.testing.accounts import TestAccount
from sendgrid_bounces.testing.app import Seed, TestApp

#: How many requests are answered at a time.
THREADS = 32

#: Seconds between two looks at whether the server is to stop.
POLL_INTERVAL = 0.02


class EmulatorServer:
    """A server of this process: ``with EmulatorServer() as server: server.url``.

    It answers when :meth:`start` has returned, and nothing of it is left when
    :meth:`stop` has. A connection is closed after its request: that is what Werkzeug's
    server does.

    :param port: 0 takes a free one.
    :param host: beyond loopback, whoever reaches it can read and wipe everything.
    :param database: the URL of the database; without it, a file that goes with this.
    :param seed: accounts to begin with: a path, a text, or a mapping.
    :param profile: what accounts see that have no profile of their own.
    :param auth: ``any`` makes each account on first use.
    :param ssl_cert: a file with a certificate, to speak TLS; *ssl_key* is its key's.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        database: str | None = None,
        seed: Seed | None = None,
        profile: str = "documented",
        auth: str = "strict",
        ssl_cert: str | PathLike[str] = "",
        ssl_key: str | PathLike[str] = "",
    ) -> None:
        self._where = (host, port)
        self._settings = {"PROFILE": profile, "AUTH": auth}
        self._database, self._seed = database, seed
        self._tls = (str(ssl_cert), str(ssl_key))
        self._emulation: TestApp | None = None
        self._server: _Server | None = None
        self._thread: Thread | None = None

    def start(self) -> "EmulatorServer":
        """Begin to answer, and return this.

        :raises OSError: if the port is taken.
        :raises BounceError: if a seed, a setting or the database is not usable.
        """
        if self._server is not None:
            raise RuntimeError("the server is running already")
        tls = server_context(*self._tls)
        family = socket.AF_INET6 if ":" in self._where[0] else socket.AF_INET
        with socket.create_server(self._where, family=family, backlog=512) as listener:
            test_app = TestApp(self._database, self._seed, **self._settings)
            self._server = _Server(listener, test_app, tls)
        self._emulation = test_app
        self._thread = Thread(
            target=self._server.serve_forever,
            args=(POLL_INTERVAL,),
            name="sendgrid-bounces",
            daemon=True,
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering, and remove all that was made; do nothing if it is stopped.

        What went wrong in the emulator, and was not raised yet, is raised then.
        """
        server, thread, test_app = self._server, self._thread, self._emulation
        self._server = self._thread = self._emulation = None
        if server is None or thread is None or test_app is None:
            return
        server.shutdown()
        thread.join()
        server.end_connections()
        test_app.close()
        test_app.check()

    def __enter__(self) -> "EmulatorServer":
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Raise what is not raised yet, and stop it."""
        self.stop()

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        scheme = "http" if self._tls == ("", "") else "https"
        return f"{scheme}://{authority(*self.address)}"

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port that it listens on."""
        if self._server is None:
            raise RuntimeError("the server is not running: call start()")
        host, port = self._server.server_address[:2]
        return str(host), port

    @property
    def emulator(self) -> Emulator:
        """The emulator that answers, with its storage."""
        return self._running().emulator

    @property
    def control(self) -> Control:
        """What the control endpoints do: reset, faults, journal, clock, snapshots."""
        return self._running().control

    def double(self, **options: Any) -> TestAccount:
        """Return an account and a domain of one test alone; close it after the test.

        :param options: as :class:`Double` takes them: profile, seed, username, api_key,
            domain.
        """
        return TestAccount(self._running(), self.url, **options)

    def check(self) -> None:
        """Raise what went wrong in the emulator, if anything has since the last time.

        A double does so when it is closed.
        """
        self._running().check()

    def _running(self) -> TestApp:
        if self._emulation is None:
            raise RuntimeError("the server is not running: call start()")
        return self._emulation


class _Server(ThreadedWSGIServer):
    """Werkzeug's, whose threads are kept: each has a connection to the database."""

    ssl_context: ssl.SSLContext | None

    def __init__(
        self, listener: socket.socket, app: TestApp, tls: ssl.SSLContext | None
    ) -> None:
        host, port = listener.getsockname()[:2]
        fd = listener.fileno()
        super().__init__(host, port, app, _Handler, ssl_context=tls, fd=fd)
        if isinstance(self.socket, ssl.SSLSocket):
            # Not while it accepts: one that does not shake hands would hold up all.
            self.socket.do_handshake_on_connect = False  # type: ignore[attr-defined] # not in typeshed
        self._pool = ThreadPoolExecutor(THREADS, "sendgrid-bounces")
        self._connections: set[socket.socket] = set()
        self._lock = Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection to a thread."""
        with self._lock:
            self._connections.add(request)
        self._pool.submit(self.process_request_thread, request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Close all connections and end the threads; nothing is accepted any more."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)
        self._pool.shutdown()

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - its signature
        """Say nothing: mistakes are raised in the test that they hit."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that breaks off."""


class _Handler(WSGIRequestHandler):
    """Werkzeug's, which writes no log and waits for no full packets."""

    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - its signature
        """Say nothing: the URL may hold a key."""
