"""Sockets that wait for their clients for a while only, with TLS and without."""

import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class IdleTimeout:
    """Mixed into a socket: no blocking call lasts longer than *patience* seconds.

    Gunicorn makes its sockets block without end; a client that does nothing for so long
    is as good as one that has gone.
    """

    patience: float
    #: Whether the client has used up its time; waiting for it again is pointless.
    is_stalled = False

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - its signature
        """Wait for a while, or not at all; a closed socket is left alone."""
        if self.fileno() >= 0:  # type: ignore[attr-defined] # the socket's
            self.settimeout(self.patience if flag else 0)  # type: ignore[attr-defined] # the socket's

    def recv(self, *arguments: Any) -> Any:
        """Return what the client sent."""
        with self._resetting_stalled():
            return super().recv(*arguments)  # type: ignore[misc] # the socket's

    def sendall(self, *arguments: Any) -> None:
        """Send all to the client."""
        with self._resetting_stalled():
            super().sendall(*arguments)  # type: ignore[misc] # the socket's

    @contextmanager
    def _resetting_stalled(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            if self.gettimeout() != self.patience:  # type: ignore[attr-defined] # somebody else's
                raise
            self.is_stalled = True
            raise ConnectionResetError(errno.ECONNRESET, "it did nothing") from None


class IdleTimeoutSocket(IdleTimeout, socket.socket):
    """A socket without TLS."""


class IdleTimeoutSSLSocket(IdleTimeout, ssl.SSLSocket):
    """A socket with TLS, as patient as the one that it is made of."""

    def do_handshake(self, *arguments: Any) -> None:
        """Agree with the client on how to go on."""
        self.patience = self.gettimeout() or 0
        with self._resetting_stalled():
            super().do_handshake(*arguments)


def shared_tls_context() -> Callable[[Any, Callable[[], ssl.SSLContext]], Any]:
    """Return Gunicorn's hook that makes a context: here one a process, not a client."""
    contexts: list[ssl.SSLContext] = []

    def ssl_context(_config: Any, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        if not contexts:
            context = make()
            context.sslsocket_class = IdleTimeoutSSLSocket
            contexts.append(context)
        return contexts[0]

    return ssl_context


def authority(host: str, port: int) -> str:
    """Return how a URL names *port* of *host*, which can be an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
