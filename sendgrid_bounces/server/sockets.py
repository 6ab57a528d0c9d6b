"""Sockets: listening, and idle timeouts for plain and TLS connections."""

import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sendgrid_bounces.core.errors import BounceError

#: Connections that wait to be accepted.
BACKLOG = 512


class ListenError(BounceError):
    """The server cannot listen on an address."""


class IdleTimeout:
    """Socket mixin: a blocking call fails after *idle_timeout* seconds of inactivity.

    Gunicorn's sockets block indefinitely, so a stalled client would occupy a thread
    forever.
    """

    idle_timeout: float
    #: Whether a call has failed because of the idle timeout.
    is_stalled = False

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - overrides the socket's
        """Switch between blocking with the idle timeout and non-blocking mode."""
        if self.fileno() >= 0:  # type: ignore[attr-defined] # of the socket
            self.settimeout(self.idle_timeout if flag else 0)  # type: ignore[attr-defined] # of the socket

    def recv(self, *arguments: Any) -> Any:
        """Receive bytes."""
        with self._resetting_stalled():
            return super().recv(*arguments)  # type: ignore[misc] # of the socket

    def sendall(self, *arguments: Any) -> None:
        """Send all bytes."""
        with self._resetting_stalled():
            super().sendall(*arguments)  # type: ignore[misc] # of the socket

    @contextmanager
    def _resetting_stalled(self) -> Iterator[None]:
        """Raise the idle timeout as a reset connection, which Gunicorn handles."""
        try:
            yield
        except TimeoutError:
            if self.gettimeout() != self.idle_timeout:  # type: ignore[attr-defined] # of the socket
                raise  # a timeout of Gunicorn
            self.is_stalled = True
            raise ConnectionResetError(
                errno.ECONNRESET, "client idle timeout"
            ) from None


class IdleTimeoutSocket(IdleTimeout, socket.socket):
    """A plain socket with an idle timeout."""


class IdleTimeoutSSLSocket(IdleTimeout, ssl.SSLSocket):
    """A TLS socket with the idle timeout of the socket underneath."""

    def do_handshake(self, *arguments: Any) -> None:
        """Perform the TLS handshake."""
        self.idle_timeout = self.gettimeout() or 0
        with self._resetting_stalled():
            super().do_handshake(*arguments)


def shared_tls_context() -> Callable[[Any, Callable[[], ssl.SSLContext]], Any]:
    """Return a hook for Gunicorn that creates one TLS context per process.

    Gunicorn would create a context per connection.
    """
    contexts: list[ssl.SSLContext] = []

    def ssl_context(
        _config: Any, create: Callable[[], ssl.SSLContext]
    ) -> ssl.SSLContext:
        if not contexts:
            context = create()
            context.sslsocket_class = IdleTimeoutSSLSocket
            contexts.append(context)
        return contexts[0]

    return ssl_context


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
            f"cannot listen on {authority(host, port)}: {reason}"
        ) from None
    return listener


def base_url(listener: socket.socket, scheme: str) -> str:
    """Return the URL of the root of a server on *listener*."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{authority(host, port)}"


def authority(host: str, port: int) -> str:
    """Return ``host:port`` for a URL, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
