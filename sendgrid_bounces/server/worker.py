"""Gunicorn's threaded worker, in which threads do not wait for requests."""

import bisect
import ctypes
import resource
import select
import selectors
import socket
import ssl
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from itertools import takewhile
from threading import Semaphore
from types import SimpleNamespace
from typing import Any

from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import (
    InvalidChunkSize,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.util import close_graceful
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from sendgrid_bounces.app import render_error
from sendgrid_bounces.core.attempts import client_at
from sendgrid_bounces.core.errors import BounceError
from sendgrid_bounces.server.arrival import Arrival
from sendgrid_bounces.server.sockets import ClientWaits

#: Limits on reading the rest of a refused body: many clients send all of a request
#: before they read the response.
DRAIN_SECONDS, DRAIN_BYTES = 2, 64 * 1024 * 1024

#: Seconds without a free thread after which a worker accepts no more connections.
STUCK_SECONDS = 0.1

#: Bytes of the trailers of a body in chunks, and pieces in which the body may arrive:
#: each takes microseconds.
MAX_TRAILERS, MAX_CHUNKS = 8 * 1024, 100_000

#: The event of a connection that the client has closed.
CLOSED = getattr(select, "POLLRDHUP", 0)  # Linux has it

#: Turns of long bodies that are remembered.
REMEMBERED_TURNS = 64

#: Seconds between searches for stalled clients while requests wait because of them.
URGENT_SECONDS = 0.1

#: Files of each thread (two database connections, an upload), and of the process.
FILES_PER_THREAD, OTHER_FILES = 8, 64

#: glibc's name of the size in bytes from which a freed block returns to the system.
M_MMAP_THRESHOLD, MAX_KEPT_BLOCK = -3, 1024 * 1024

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


def limit_freed_memory() -> None:
    """Let the C library return the memory of large bodies to the system at once.

    Otherwise glibc keeps the memory of each thread that has read a large body, up to
    a gigabyte.
    """
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAX_KEPT_BLOCK)


class Worker(ThreadWorker):
    """Gunicorn's threaded worker, with threads for complete requests only.

    A connection waits on the poller until its request has arrived. A long body occupies
    a thread while it arrives: such requests have turns on a quarter of the threads.
    While no thread is or becomes free, the worker accepts no connection, so that
    another worker gets it.

    A malformed request is answered without its URL, which can contain an API key, and
    is not logged.
    """

    #: Seconds that a request may take to arrive, or a client keep a thread waiting.
    idle_timeout = 30

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.worker_connections = _connection_limit(self.cfg)
        # Neither kept nor silent connections alone make the worker refuse new ones.
        self.max_keepalived = self.max_pending = self.worker_connections * 2 // 5
        #: Requests that threads handle or that wait for a thread.
        self.busy = 0
        #: When a thread became free last.
        self.last_free = 0.0
        #: Connections whose long bodies threads read, the largest number of such
        #: connections, and connections that wait for a turn: some may be closed.
        quarter = max(self.cfg.threads // 4, 1)
        self.uploads: list[Any] = []
        self.max_uploads = quarter
        self.upload_queue: list[Any] = []
        #: The clients of the latest turns, and the seconds that these took.
        self.turns: deque[tuple[str, float]] = deque(maxlen=REMEMBERED_TURNS)
        #: Places for threads that wait until a client closes a connection.
        self.closing = Semaphore(quarter)

    def init_process(self) -> None:
        """Run the worker."""
        limit_freed_memory()
        self.waits = ClientWaits(self.idle_timeout)
        super().init_process()

    @property
    def is_stuck(self) -> bool:
        """Whether no thread is free, and none has become free just now."""
        latest = time.monotonic() - STUCK_SECONDS
        return self.busy >= self.cfg.threads and self.last_free < latest

    @property
    def is_crowded(self) -> bool:
        """Whether more requests wait than the threads handle at once."""
        threads: int = self.cfg.threads
        return self.busy > 2 * threads

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - overrides
        """Accept connections unless the worker is stuck."""
        super().set_accept_enabled(enabled and not self.is_stuck)

    def accept(self, listener: Any) -> None:
        """Accept a connection, or leave it to another worker."""
        if self.is_stuck:
            self.set_accept_enabled(enabled=False)
        else:
            super().accept(listener)

    def enqueue_req(self, conn: Any) -> None:
        """Hand a readable connection to a thread; a new one waits for its request."""
        if not hasattr(conn, "arrival"):
            conn.arrival, conn.has_turn = Arrival(conn, self.waits), False
            if not isinstance(conn.client, tuple):
                conn.client = ""  # of a Unix socket: chosen by the client
            conn.host = client_at(conn.client[0]) if conn.client else ""
            self._await_request(conn)
            return
        conn.arrival.stop_waiting()
        self.busy += 1
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> bool | None:
        """Handle a request; return whether the connection is kept, None if it waits.

        The connection waits for more of the request, or for the turn of a long body.

        A finished connection is closed here: closing takes time, which the main thread
        of the worker does not have.
        """
        conn.is_drained = False
        try:
            if not conn.has_turn and (
                not conn.arrival.receive() or conn.arrival.has_long_body
            ):
                return None
        except (ssl.SSLError, LimitRequestHeaders) as error:
            if not isinstance(error, ssl.SSLEOFError):
                self.handle_error(None, conn.sock, conn.client, error)
            kept = False
        except OSError:  # the client is gone
            kept = False
        else:
            kept = not self._is_abandoned(conn) and bool(super().handle(conn))
        if not kept and (conn.is_drained or conn.sock.is_stalled):
            conn.close()
        elif not kept:
            self._close_gracefully(conn)
        return kept

    def _is_abandoned(self, conn: Any) -> bool:
        """Return whether the client has left while many requests wait for a thread.

        Such a request would delay requests whose clients still wait. At other times it
        is handled: a client that has only ended its sending reads the response.
        """
        if not self.is_crowded or conn.has_turn:
            return False
        poll = select.poll()
        poll.register(conn.sock, CLOSED)
        return bool(poll.poll(0))

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Handle a request whose body may have few chunks and trailers.

        Gunicorn searches all trailers again whenever more arrive.
        """
        reader = req.body.reader
        if isinstance(reader, ChunkedReader):
            reader.limit_trailer_section = MAX_TRAILERS
            reader.parser = _limit_chunks(reader.parser)
        return super().handle_request(req, conn)

    def _close_gracefully(self, conn: Any) -> None:
        """Wait until the client closes, too, unless many threads do so already.

        A client that does not read a response could lose it otherwise.
        """
        if not self.closing.acquire(blocking=False):
            conn.close()
            return
        try:
            close_graceful(conn.sock)
        finally:
            self.closing.release()

    def finish_request(self, conn: Any, fs: "Future[bool | None]") -> None:
        """Wait for the rest of a request, for the next one, or close the connection."""
        self.busy -= 1
        self.last_free = time.monotonic()
        if conn.has_turn:
            self.uploads.remove(conn)
            self.turns.append((conn.host, time.monotonic() - conn.turn_began))
            conn.has_turn = False
        if not fs.cancelled() and not fs.exception() and fs.result() is None:
            self._await_request(conn)
        else:
            super().finish_request(conn, fs)
        self._give_turns()

    def murder_pending(self) -> None:
        """Disconnect the clients that have used up their time.

        If all threads are busy, the clients that threads wait for have less time. If
        long bodies wait for a turn, so have the clients that send one.
        """
        now = time.monotonic()
        for conn in takewhile(lambda conn: conn.timeout <= now, self.pending_conns):
            self._log_timeout(conn)
        super().murder_pending()
        self.waits.disconnect_overdue()
        self._give_turns()
        if self._has_uploads():
            self.waits.disconnect(socket.SHUT_RD)
        if self.is_stuck:
            self.waits.disconnect(kept=self.cfg.threads // 2)

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - overrides
        """Close idle connections; at the end of the worker, all connections.

        A thread that waits for a slow client would keep the process from ending.
        """
        super().murder_keepalived(force=force)
        if force:
            self.waits.end()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for events; not for long while clients may have to be disconnected."""
        is_urgent = self.is_stuck or self._has_uploads()
        super().wait_for_and_dispatch_events(URGENT_SECONDS if is_urgent else timeout)

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
        try:
            response = render_error(self.wsgi, status, _path(exc))
        except Exception:
            self.log.exception("cannot render the response to a malformed request")
            return
        head = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
        first = f"HTTP/1.1 {status} {status.phrase}\r\nConnection: close\r\n"
        with suppress(OSError):  # the client can be gone
            client.sendall(f"{first}{head}\r\n".encode() + response.data)

    def _await_request(self, conn: Any) -> None:
        """Wait on the poller for the bytes of a request, or off the poller for a turn.

        If there are too many connections, the client with most of them loses the one
        that has waited for longest, even if the client has sent a lot.
        """
        conn.timeout = conn.arrival.start_waiting()
        if not self.alive and not conn.arrival.has_long_body:  # it may be on its way
            conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)
        conn.sock.settimeout(0)
        bisect.insort(self.pending_conns, conn, key=lambda conn: conn.timeout)
        if conn.arrival.has_long_body:
            self.upload_queue.append(conn)
        else:
            is_readable = partial(self.on_pending_socket_readable, conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, is_readable)
        if len(self.pending_conns) > self.max_pending:
            surplus = self._surplus()
            surplus.timeout = 0
            self.pending_conns.remove(surplus)
            self.pending_conns.insert(0, surplus)

    def _surplus(self) -> Any:
        """Return the oldest pending connection of the client with most of them."""
        numbers = Counter(conn.host for conn in self.pending_conns)
        return min(
            self.pending_conns,
            key=lambda conn: (-numbers[conn.host], conn.arrival.began),
        )

    def _has_uploads(self) -> bool:
        """Return whether connections with long bodies wait for a turn."""
        if self.upload_queue:
            self.upload_queue = [c for c in self.upload_queue if c.sock.fileno() >= 0]
        return bool(self.upload_queue)

    def _give_turns(self) -> None:
        """Hand connections with long bodies to the threads that may read these."""
        while (conn := self._next_upload()) is not None:
            self.upload_queue.remove(conn)
            self.pending_conns.remove(conn)
            self.uploads.append(conn)
            conn.has_turn, conn.turn_began = True, time.monotonic()
            conn.sock.begin_turn()
            self.enqueue_req(conn)

    def _next_upload(self) -> Any:
        """Return the connection with a long body that has the next turn, if any.

        The client whose latest turns have taken the least time is next. One turn
        stays free for a second client.
        """
        free = self.max_uploads - len(self.uploads)
        if free <= 0 or not self._has_uploads():
            return None
        present = {conn.host for conn in self.uploads} if free == 1 else ()
        seconds = self._turn_seconds()
        return min(
            (conn for conn in self.upload_queue if conn.host not in present),
            key=lambda conn: seconds[conn.host],
            default=None,
        )

    def _turn_seconds(self) -> "defaultdict[str, float]":
        """Return the time of each client's latest and present turns."""
        seconds: defaultdict[str, float] = defaultdict(float)
        now = time.monotonic()
        present = [(conn.host, now - conn.turn_began) for conn in self.uploads]
        for client, duration in (*self.turns, *present):
            seconds[client] += duration
        return seconds

    def _cap_keepalive(self, deadline: float) -> None:
        """Close idle connections soon, since the worker stops."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            if not conn.arrival.has_long_body:
                conn.timeout = min(conn.timeout, deadline)
        ordered = sorted(self.pending_conns, key=lambda conn: conn.timeout)
        self.pending_conns.clear()
        self.pending_conns.extend(ordered)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        """Read the rest of the body; return whether the connection is kept.

        While many requests wait for a thread, the connection of a client that has sent
        its next request before the response is closed: other clients would wait for all
        of its requests.
        """
        deadline = time.monotonic() + DRAIN_SECONDS
        if conn.sock.is_stalled:
            return False
        try:
            conn.is_drained = conn.parser.finish_body(
                deadline=deadline, max_bytes=DRAIN_BYTES
            )
        except ParseException:  # a second response would be that to the next request
            conn.is_drained = False
        if not conn.is_drained:
            conn.sock.is_stalled = time.monotonic() >= deadline
        elif conn.arrival.has_next() and self.is_crowded:
            conn.is_drained = False
        return bool(keepalive) and conn.is_drained

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

    def _log_timeout(self, conn: Any) -> None:
        """Write a line of the access log for a request that has not arrived in time."""
        if conn.arrival.has_begun:
            names = ("REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL")
            environ = dict.fromkeys(names, "-")
            environ["REMOTE_ADDR"] = conn.client[0] if conn.client else "-"
            status = f"{HTTPStatus.REQUEST_TIMEOUT.value}"
            response = SimpleNamespace(status=status, sent=0, headers=())
            self.log.access(response, (), environ, timedelta())


def _limit_chunks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the *chunks* of a body.

    :raises InvalidChunkSize: if there are too many.
    """
    for number, chunk in enumerate(chunks):
        if number == MAX_CHUNKS:
            raise InvalidChunkSize(b"more than %d chunks" % MAX_CHUNKS)
        yield chunk


class OpenFilesError(BounceError):
    """The limit on open files is too low."""


def check_open_files(threads: int) -> None:
    """Check that a worker with so many *threads* can have their files.

    :raises OpenFilesError: if it cannot.
    """
    needed = _reserved_files(threads) + threads
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise OpenFilesError(
            f"{threads} threads need {needed} open files, and the limit is {hard} "
            "(see ulimit -n)"
        )


def _reserved_files(threads: int) -> int:
    """Return the number of files that are no connections of clients."""
    return FILES_PER_THREAD * threads + OTHER_FILES


def _connection_limit(cfg: Any) -> int:
    """Return the number of connections of a worker.

    The limit on open files, which is raised if possible, must allow for them.
    """
    threads: int = cfg.threads
    reserved = _reserved_files(threads)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files: int = cfg.worker_connections + reserved
    if hard != resource.RLIM_INFINITY:
        files = min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(files - reserved, threads)


def _path(error: BaseException) -> str:
    """Return the path in the request line of a parse error, or an empty string."""
    line = getattr(error, "req", "")
    target = line.split(" ")[1:2] if isinstance(line, str) else []
    return target[0].partition("?")[0] if target else ""
