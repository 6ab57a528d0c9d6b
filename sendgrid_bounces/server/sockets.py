"""Sockets: listening, and idle timeouts for plain and TLS connections."""

import errno
import math
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from gunicorn.sock import ssl_context as create_context

from sendgrid_bounces.core.errors import BounceError
from sendgrid_bounces.core.hosts import reachable
from sendgrid_bounces.server.tls import CertificateError, server_context

#: Connections that wait to be accepted.
BACKLOG = 512

#: Bytes per second that a client must send on average.
MIN_RATE = 500

#: Bytes per second that a long body must have on average while another one waits for
#: its turn, after some seconds. After twice as long, it must have twice the rate.
TURN_RATE, TURN_SECONDS = 32 * 1024, 5

#: Seconds for which a thread waits for a client even if all threads are busy.
GRACE = 1.0

#: Bytes that a client must receive within the idle timeout.
PIECE = 64 * 1024


class ListenError(BounceError):
    """The server cannot listen on an address.

    :param code: the error number of the operating system, if known.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Wait:
    """A thread that waits for a client.

    :param since: when it began to wait, or would have without pauses.
    :param how: SHUT_RD or SHUT_RDWR, which ends the wait.
    :param latest: when the wait should have ended.
    """

    since: float
    how: int
    latest: float


class ClientWaits:
    """The threads of a server that wait for clients.

    :param idle_timeout: seconds that a client may keep a thread waiting. Each
        ``MIN_RATE`` bytes of the client add a second.
    """

    def __init__(self, idle_timeout: float) -> None:
        self.idle_timeout = idle_timeout
        self._waits: dict[IdleTimeoutSocket, _Wait] = {}
        self._is_over = False

    @contextmanager
    def waiting(
        self,
        client: "IdleTimeoutSocket",
        how: int,
        seconds: float,
        earlier: float = 0,
    ) -> Iterator[None]:
        """Record that a thread waits for *client*.

        :param how: SHUT_RD or SHUT_RDWR, which ends the wait.
        :param seconds: how long the wait should last at most.
        :param earlier: seconds that earlier waits for the same response have lasted.
        """
        now = time.monotonic()
        self._waits[client] = _Wait(now - earlier, how, now + seconds + GRACE)
        if self._is_over:
            client.disconnect(how)
        try:
            yield
        finally:
            del self._waits[client]

    def disconnect_overdue(self) -> None:
        """Disconnect the clients whose waits should have ended.

        OpenSSL reads as long as records without data arrive, such as key updates of
        TLS 1.3, and so longer than the timeout of the socket.
        """
        now = time.monotonic()
        for client, wait in self._waits.copy().items():
            if wait.latest < now:
                client.disconnect(wait.how)

    def end(self) -> None:
        """Disconnect all clients that threads wait for, now and later."""
        self._is_over = True
        for client, wait in self._waits.copy().items():
            client.disconnect(wait.how)

    def disconnect(self, how: int | None = None, *, kept: int = 0) -> None:
        """Disconnect the clients that keep threads waiting, except *kept* of them.

        The address with most of these clients comes first, and of its clients the one
        with the longest wait: since the last bytes of a body, or since the beginning of
        a response. A client is not disconnected within ``GRACE`` seconds, unless its
        body arrives slowly.

        :param how: only the clients that threads wait for in this way; None for all.
        """
        waiting = [
            (client, wait)
            for client, wait in self._waits.copy().items()
            if how is None or wait.how == how
        ]
        numbers = Counter(client.host for client, _ in waiting)
        waiting.sort(key=lambda each: (-numbers[each[0].host], each[1].since))
        latest = time.monotonic() - GRACE
        for client, wait in waiting[: max(len(waiting) - kept, 0)]:
            if wait.since < latest or client.has_slow_turn:
                client.disconnect(wait.how)


class IdleTimeoutSocket(socket.socket):
    """A socket with a timeout for the client.

    Gunicorn's sockets block indefinitely, so a stalled client would occupy a thread
    forever.
    """

    waits: ClientWaits
    #: The address of the client; empty for a Unix socket.
    host = ""
    idle_timeout = 0.0
    #: Seconds that the client may still keep a thread waiting.
    credit = 0.0
    #: Seconds that the client has kept a thread waiting with the response.
    send_seconds = 0.0
    #: Whether the client is too slow. The socket is of no further use.
    is_stalled = False
    #: When the turn of a long body began, and the bytes that have arrived since then.
    turn_began, turn_bytes = math.inf, 0

    def limit(self, waits: ClientWaits) -> None:
        """Apply the timeout of *waits* to the next request."""
        self.waits = waits
        self.idle_timeout = self.credit = waits.idle_timeout
        self.turn_began, self.send_seconds = math.inf, 0.0

    def disconnect(self, how: int) -> None:
        """End the wait of another thread for the client."""
        self.is_stalled = True
        with suppress(OSError):  # the thread has closed it
            socket.socket.shutdown(self, how)

    def begin_turn(self) -> None:
        """Measure the rate of a long body from now on."""
        self.turn_began, self.turn_bytes = time.monotonic(), 0

    @property
    def has_slow_turn(self) -> bool:
        """Whether a long body arrives too slowly for the bodies that wait."""
        seconds = time.monotonic() - self.turn_began
        rate = TURN_RATE * seconds / TURN_SECONDS
        return seconds > TURN_SECONDS and self.turn_bytes < rate * seconds

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - overrides the socket's
        """Switch between blocking with the idle timeout and non-blocking mode."""
        if self.fileno() >= 0:
            self.settimeout(self.idle_timeout if flag else 0)

    def recv(self, *arguments: Any) -> bytes:
        """Receive bytes."""
        timeout = self.gettimeout()
        if not timeout:
            return super().recv(*arguments)
        began = time.monotonic()
        how, seconds = socket.SHUT_RD, max(min(timeout, self.credit), 0.001)
        with self._checking_stalled(), self.waits.waiting(self, how, seconds):
            self.settimeout(seconds)
            try:
                data = super().recv(*arguments)
            finally:
                self.settimeout(timeout)
        self.turn_bytes += len(data)
        spent = time.monotonic() - began - len(data) / MIN_RATE
        self.credit = min(self.credit - spent, self.idle_timeout)
        return data

    def sendall(self, data: Any, *flags: Any) -> None:
        """Send all bytes, in pieces: a client that reads slowly is not stalled."""
        how, seconds = socket.SHUT_RDWR, self.idle_timeout
        for start in range(0, len(data), PIECE):
            began, earlier = time.monotonic(), self.send_seconds
            with (
                self._checking_stalled(),
                self.waits.waiting(self, how, seconds, earlier),
            ):
                super().sendall(data[start : start + PIECE], *flags)
            self.send_seconds += time.monotonic() - began

    @contextmanager
    def _checking_stalled(self) -> Iterator[None]:
        """Raise the idle timeout as a reset connection, which Gunicorn handles."""
        try:
            yield
        except TimeoutError:
            if self.gettimeout() != self.idle_timeout:
                raise  # a timeout of Gunicorn
            self.is_stalled = True
        if self.is_stalled:
            raise TimeoutError(errno.ECONNRESET, "client idle timeout") from None


class IdleTimeoutSSLSocket(IdleTimeoutSocket, ssl.SSLSocket):
    """A TLS socket with a timeout for the client."""


class SharedContext:
    """The TLS context of all workers, which the master process creates.

    Gunicorn would create a context per connection. A reload replaces it, if the
    certificate and its key can be used.
    """

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None

    def get(self, _config: Any, create: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        """Return the context, for Gunicorn's hook ``ssl_context``."""
        if self._context is None:
            self._context = create()
            self._context.sslsocket_class = IdleTimeoutSSLSocket
        return self._context

    def prepare(self, arbiter: Any, _worker: Any) -> None:
        """Create the context before the first worker, for the hook ``pre_fork``."""
        if self._context is None:
            self.reload(arbiter)

    def reload(self, arbiter: Any) -> None:
        """Read the certificate again, for the hook ``on_reload``."""
        cfg = arbiter.cfg
        previous, self._context = self._context, None
        try:
            server_context(cfg.certfile or "", cfg.keyfile or "")
            if cfg.is_ssl:
                create_context(cfg)
        except (CertificateError, OSError) as error:
            self._context = previous
            arbiter.log.error("the certificate was not reloaded: %s", error)  # noqa: TRY400 - no traceback


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free port.

    :raises ListenError: if the address is invalid or in use.
    """
    if not host:
        raise ListenError("host: must not be empty")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError, TypeError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ListenError(
            f"cannot listen on {authority(host, port)}: {reason}",
            getattr(error, "errno", None),
        ) from None
    return listener


def base_url(listener: socket.socket, scheme: str) -> str:
    """Return the URL of the root of a server on *listener*."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{authority(host, port)}"


def local_url(listener: socket.socket, scheme: str) -> str:
    """Return the URL of the root for a client on this machine."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{authority(reachable(host), port)}"


def authority(host: str, port: int) -> str:
    """Return ``host:port`` for a URL, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
