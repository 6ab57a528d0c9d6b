"""Database connections: one for each thread, or one for each thread that needs it."""

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

#: Seconds that a thread waits for a connection if the server accepts no more of them,
#: and seconds between two attempts.
CONNECT_PATIENCE, RETRY_INTERVAL = 2, 0.05

#: Seconds after which an idle connection is closed: if there are several, and if it is
#: the last. The first is less than the time that other processes wait.
MAX_SPARE, MAX_IDLE = 1.0, 10.0

#: Seconds between two searches for such connections.
CHECK_INTERVAL = 0.5


class ThreadState(threading.local):
    """The connection of the current thread and its state."""

    connection: Any = None
    uses = 0
    in_transaction = False
    is_writing = False


class Connections:
    """The open connections of a database, one per thread.

    Opening a connection also closes the connections of ended threads, because some
    WSGI servers start a thread for each request.

    :param connect: opens a DB-API connection in autocommit mode.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._open: dict[threading.Thread, Any] = {}
        self._lock = threading.Lock()
        self.thread = ThreadState()

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._open)

    def current(self) -> Any:
        """Return the connection of this thread, newly opened if necessary."""
        connection = self.thread.connection
        if connection is None:
            connection = self.thread.connection = self._connect()
            with self._lock:
                for thread in [t for t in self._open if not t.is_alive()]:
                    self._open.pop(thread).close()
                self._open[threading.current_thread()] = connection
        return connection

    def discard(self) -> None:
        """Close the connection of this thread, which may be broken."""
        self.thread.connection = None
        with self._lock:
            connection = self._open.pop(threading.current_thread(), None)
        if connection is not None:
            connection.close()

    def close_all(self) -> None:
        """Close the connections of all threads. The object is unusable afterwards."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()


class ConnectionPool(Connections):
    """Connections that threads share: each has one only while it uses the database.

    All uses must be in blocks ``with pool:``, which can be nested.

    A server limits the number of connections. If each thread kept its own, idle threads
    would leave none to others, and to other processes.

    :param is_refusal: whether an error of *connect* says that the server accepts no
        more connections at present.
    """

    def __init__(
        self, connect: Callable[[], Any], is_refusal: Callable[[Exception], bool]
    ) -> None:
        super().__init__(connect)
        self._is_refusal = is_refusal
        #: The idle connections, and since when they are so; the latest is the last.
        #: Threads use it without a lock, since its methods are atomic.
        self._idle: deque[tuple[float, Any]] = deque()
        self._returned = threading.Condition(self._lock)
        self._waiting = 0
        self._closer, self._ended = threading.Thread(), threading.Event()
        self._process = os.getpid()

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._open) + len(self._idle)

    def __enter__(self) -> None:
        """Begin to use the connection of this thread, which has one at first need."""
        self.thread.uses += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Return the connection of this thread at the end of the outermost block."""
        thread = self.thread
        thread.uses -= 1
        if thread.uses or thread.connection is None:
            return
        if kind is None or issubclass(kind, Exception):
            self._return()
        else:  # the answer to a statement may be unread
            self.discard()

    def current(self) -> Any:
        """Return the connection of this thread: an idle one, or a new one."""
        connection = self.thread.connection
        if connection is None:
            connection = self.thread.connection = self._take()
            self._open[threading.current_thread()] = connection
        return connection

    def discard(self) -> None:
        """Close the connection of this thread, and the idle ones.

        The loss of a connection probably affects the idle connections, too.
        """
        super().discard()
        self._close_idle(math.inf)

    def close_all(self) -> None:
        """Close all connections. The object is unusable afterwards."""
        self._ended.set()
        super().close_all()
        self._close_idle(math.inf)

    def _take(self) -> Any:
        """Return an idle connection, or a new one; wait if there can be none."""
        if self._process != os.getpid():  # forked: the connections are the parent's
            self._idle.clear()
            self._open.clear()
            self._process = os.getpid()
        deadline = time.monotonic() + CONNECT_PATIENCE
        while True:
            try:
                return self._idle.pop()[1]
            except IndexError:
                pass
            try:
                return self._connect()
            except Exception as error:
                if not self._is_refusal(error) or time.monotonic() > deadline:
                    raise
            with self._returned:
                self._waiting += 1
                self._returned.wait_for(lambda: self._idle, RETRY_INTERVAL)
                self._waiting -= 1

    def _return(self) -> None:
        """Make the connection of this thread idle, unless it was closed."""
        self.thread.connection = None
        connection = self._open.pop(threading.current_thread(), None)
        if connection is None:
            return
        self._idle.append((time.monotonic(), connection))
        if self._waiting:
            with self._returned:
                self._returned.notify()
        if not self._closer.is_alive():
            closer = threading.Thread(target=self._close_unused, daemon=True)
            with suppress(RuntimeError):  # the process ends
                closer.start()
            self._closer = closer

    def _close_unused(self) -> None:
        """Close the connections that no thread needs, until there is none."""
        while self._idle and not self._ended.wait(CHECK_INTERVAL):
            now = time.monotonic()
            self._close_idle(now - MAX_SPARE, keep=1)
            self._close_idle(now - MAX_IDLE)

    def _close_idle(self, until: float, keep: int = 0) -> None:
        """Close the connections that have been idle since before *until*.

        :param keep: how many to keep.
        """
        with suppress(IndexError):
            while len(self._idle) > keep and self._idle[0][0] < until:
                self._idle.popleft()[1].close()
