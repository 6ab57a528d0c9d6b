"""An emulator server in the process of the test suite."""

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
from sendgrid_bounces.testing.errors import report_arguments

#: Threads that answer requests.
THREADS = 32

#: Seconds after which a client that sends or reads nothing is disconnected.
IDLE_TIMEOUT = 30

#: Seconds between two checks for a shutdown request.
POLL_INTERVAL = 0.02


class EmulatorServer:
    """An HTTP server in this process: ``with EmulatorServer() as server: server.url``.

    Each connection is closed after one request, as in Werkzeug's own server.

    :param port: 0 for a free port.
    :param host: the control endpoints need no token, so a machine that reaches an
        address other than loopback can read and erase everything.
    :param database: the URL of the database; a temporary SQLite file if absent.
    :param seed: initial accounts: a path, text or mapping.
    :param profile: the vendor behaviour for accounts without a profile.
    :param auth: ``any`` creates each account on first use.
    :param ssl_cert: the path of a certificate, to serve HTTPS; *ssl_key* is the path of
        its key.
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
        self._bind = (host, port)
        self._settings = {"PROFILE": profile, "AUTH": auth}
        self._database, self._seed = database, seed
        self._tls = (str(ssl_cert), str(ssl_key))
        self._test_app: TestApp | None = None
        self._server: _Server | None = None
        self._thread: Thread | None = None

    @report_arguments
    def start(self) -> "EmulatorServer":
        """Start accepting requests, and return the server itself.

        :raises OSError: if the port is in use.
        :raises BounceError: if the seed, a setting or the database is unusable.
        """
        if self._server is not None:
            raise RuntimeError("the server is already running")
        tls = server_context(*self._tls)
        family = socket.AF_INET6 if ":" in self._bind[0] else socket.AF_INET
        with socket.create_server(self._bind, family=family, backlog=512) as listener:
            test_app = TestApp(self._database, self._seed, self._settings)
            self._server = _Server(listener, test_app, tls)
        self._test_app = test_app
        self._thread = Thread(
            target=self._server.serve_forever,
            args=(POLL_INTERVAL,),
            name="sendgrid-bounces",
            daemon=True,
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop the server and remove its temporary files, if it is running.

        A forked process, which has no thread of the server, stops nothing.

        :raises Exception: if an unexpected exception occurred in the emulator.
        """
        server, thread, test_app = self._server, self._thread, self._test_app
        self._server = self._thread = self._test_app = None
        if server is None or thread is None or test_app is None:
            return
        if test_app.is_inherited:
            return
        server.shutdown()
        thread.join()
        server.close_connections()
        test_app.close()
        test_app.check()

    def __enter__(self) -> "EmulatorServer":
        """Start the server."""
        __tracebackhide__ = True
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self.stop()

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        scheme = "http" if self._tls == ("", "") else "https"
        return f"{scheme}://{authority(*self.address)}"

    @property
    def address(self) -> tuple[str, int]:
        """The host and port of the listening socket."""
        if self._server is None:
            raise RuntimeError("the server is not running: call start()")
        host, port = self._server.server_address[:2]
        return str(host), port

    @property
    def emulator(self) -> Emulator:
        """The emulator, with its storage."""
        return self._running().emulator

    @property
    def control(self) -> Control:
        """All control operations: reset, faults, request log, clock and snapshots."""
        return self._running().control

    def double(self, **options: Any) -> TestAccount:
        """Create an account and a Mailgun domain for a test, which must close both.

        :param options: the options of :class:`TestAccount`: profile, seed, username,
            api_key, domain.
        """
        __tracebackhide__ = True
        return TestAccount(self._running(), self.url, **options)

    def check(self) -> None:
        """Raise the first unexpected exception in the emulator since the last check.

        Closing a test account does the same.
        """
        self._running().check()

    def _running(self) -> TestApp:
        if self._test_app is None:
            raise RuntimeError("the server is not running: call start()")
        return self._test_app


class _Server(ThreadedWSGIServer):
    """Werkzeug's server with a pool of threads, each of which keeps its connection.

    Werkzeug starts a thread for each request, which would open the database each time.
    """

    ssl_context: ssl.SSLContext | None

    def __init__(
        self, listener: socket.socket, app: TestApp, tls: ssl.SSLContext | None
    ) -> None:
        host, port = listener.getsockname()[:2]
        fd = listener.fileno()
        super().__init__(host, port, app, _Handler, ssl_context=tls, fd=fd)
        if isinstance(self.socket, ssl.SSLSocket):
            # A handshake in accept() would let a stalled client block the server.
            self.socket.do_handshake_on_connect = False  # type: ignore[attr-defined] # not in typeshed
        self._pool = ThreadPoolExecutor(THREADS, "sendgrid-bounces")
        self._connections: set[socket.socket] = set()
        self._lock = Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer the request on a connection in a thread of the pool."""
        with self._lock:
            self._connections.add(request)
        self._pool.submit(self.process_request_thread, request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Close all connections and wait for the threads of the pool."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # already closed by the client
                    connection.shutdown(socket.SHUT_RDWR)
        self._pool.shutdown()

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - signature of the base class
        """Log nothing: exceptions are raised in the test that caused them."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect early."""


class _Handler(WSGIRequestHandler):
    """Werkzeug's request handler without a log and without Nagle's algorithm."""

    disable_nagle_algorithm = True
    timeout = IDLE_TIMEOUT

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - signature of the base class
        """Log nothing: a URL may contain a key."""
