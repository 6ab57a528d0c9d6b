"""Receive requests without a thread: TLS handshakes, heads and short bodies."""

import re
import socket
import ssl
import time
from typing import Any

from gunicorn.http import get_parser
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.sock import ssl_wrap_socket

from sendgrid_bounces.server.sockets import (
    GRACE,
    MIN_RATE,
    ClientWaits,
    IdleTimeoutSocket,
)

#: Bytes of the longest head, and of the longest body that is received with it.
MAX_HEAD, MAX_SHORT_BODY = 64 * 1024, 64 * 1024

#: Bytes that one call receives.
PIECE = 16 * 1024

_HEAD_END = b"\r\n\r\n"
_BODY = re.compile(rb"\r\n(?:content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect[ \t]*:", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,5})[ \t]*\r\n", re.IGNORECASE)


class Arrival:
    """The request that arrives on a connection.

    :param conn: Gunicorn's connection. It gets a parser, and a socket that limits the
        time for the rest of a long body.
    :param waits: has the seconds in which a request must arrive, besides a second for
        each ``MIN_RATE`` bytes.
    :ivar began: when the connection was opened, or a later request began.
    """

    def __init__(self, conn: Any, waits: ClientWaits) -> None:
        conn.sock = IdleTimeoutSocket(fileno=conn.sock.detach())
        self._conn = conn
        self._waits = waits
        self._is_touched = self._is_complete = False
        self._buffer = bytearray()
        self._begin()

    @property
    def has_long_body(self) -> bool:
        """Whether the request can be handled, but a thread must read its body."""
        return self._is_complete and self._has_long_body

    @property
    def has_begun(self) -> bool:
        """Whether the client has sent a part of a TLS handshake or of a request."""
        is_handshaking = self._is_touched and self._conn.parser is None
        return is_handshaking or bool(self._buffer)

    def start_waiting(self) -> float:
        """Wait for the client; return the time at which to disconnect it."""
        self._waiting_since = time.monotonic()
        return self._waiting_since + max(self._credit, 0)

    def stop_waiting(self) -> None:
        """Count the time since :meth:`start_waiting`, before a thread is free."""
        if self._waiting_since:
            self._credit -= time.monotonic() - self._waiting_since
            self._waiting_since = 0

    def receive(self) -> bool:
        """Receive the available bytes; return whether the request can be handled.

        :raises LimitRequestHeaders: if the head is too long.
        :raises OSError: if the connection or its TLS handshake fails.
        """
        self._is_touched = True
        if self._is_complete:
            self._begin()
        conn = self._conn
        conn.sock.settimeout(0)
        if conn.cfg.is_ssl and not isinstance(conn.sock, ssl.SSLSocket):
            conn.sock = ssl_wrap_socket(conn.sock, conn.cfg)
        conn.sock.host = conn.host
        try:
            with self._waits.waiting(conn.sock, socket.SHUT_RDWR, GRACE):
                self._receive_available()
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        conn.parser.unreader.unread(self._buffer)
        conn.sock.limit(self._waits)
        self._is_complete = True
        return True

    def has_next(self) -> bool:
        """Return whether bytes of the next request have been received.

        Bytes that TLS has decrypted, of which the poller does not know, are given to
        the parser.
        """
        sock, unreader = self._conn.sock, self._conn.parser.unreader
        received = unreader.take_buffered()
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            received += sock.recv(sock.pending())
        unreader.unread(received)
        return bool(received)

    def _begin(self) -> None:
        """Wait for the next request."""
        self.began = time.monotonic()
        self._is_complete = False
        self._credit = self._waits.idle_timeout
        self._waiting_since = 0.0
        self._buffer = bytearray()
        self._searched = self._needed = 0
        self._has_long_body = False

    def _receive_available(self) -> None:
        """Receive a TLS handshake, if there is one, and enough of the request.

        :raises BlockingIOError: if more has to arrive, like ``SSLWantReadError``.
        """
        conn = self._conn
        if conn.parser is None:
            if conn.cfg.is_ssl:
                conn.sock.do_handshake()
            conn.parser = get_parser(conn.cfg, conn.sock, conn.client)
        self._buffer += conn.parser.unreader.take_buffered()
        while not self._has_enough():
            piece = conn.sock.recv(PIECE)
            if not piece:
                break  # the parser reports the early end
            self._buffer += piece
            self._credit += len(piece) / MIN_RATE

    def _has_enough(self) -> bool:
        """Return whether the head, and the body if it is short, are complete."""
        if not self._needed:
            end = self._buffer.find(_HEAD_END, max(self._searched - 3, 0))
            self._searched = len(self._buffer)
            if end < 0 and self._searched > MAX_HEAD:
                raise LimitRequestHeaders("head too long")
            if end < 0:
                return False
            length = _short_body(bytes(self._buffer[: end + 2]))
            self._has_long_body = length is None
            self._needed = end + len(_HEAD_END) + (length or 0)
        return len(self._buffer) >= self._needed


def _short_body(head: bytes) -> int | None:
    """Return the length of the body, or None if a thread must read the body.

    A client that expects "100 Continue" sends no body before a thread has sent that.
    """
    if not _BODY.search(head):
        return 0
    length = _LENGTH.search(head)
    if length is None or _EXPECT.search(head):
        return None
    return int(length[1]) if int(length[1]) <= MAX_SHORT_BODY else None
