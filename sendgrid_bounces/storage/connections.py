"""Database connections: one for each thread, or one for each thread that needs it."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Seconds that a thread waits for a connection if the server accepts no more of them,
#: and seconds between two attempts.
CONNECT_PATIENCE, RETRY_INTERVAL = 2, 0.05

#: Seconds after which a connection that no thread needs is closed.
MAX_IDLE = 10


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
            connection = self.thread.connection = self._take()
            with self._lock:
                for thread in [t for t in self._open if not t.is_alive()]:
                    self._open.pop(thread).close()
                self._open[threading.current_thread()] = connection
        return connection

    def discard(self) -> None:
        """Close the connection of this thread, which may be broken."""
        connection = self._release()
        if connection is not None:
            connection.close()

    def close_all(self) -> None:
        """Close the connections of all threads. The object is unusable afterwards."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _take(self) -> Any:
        """Return a connection that no thread has."""
        return self._connect()

    def _release(self) -> Any:
        """Return the connection of this thread, if any, which is no longer its own."""
        self.thread.connection = None
        with self._lock:
            return self._open.pop(threading.current_thread(), None)


class ConnectionPool(Connections):
    """Connections that threads share: each has one only while it uses the database.

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
        self._returned = threading.Condition(self._lock)
        #: The idle connections, and since when they are so; the latest is the last.
        self._idle: deque[tuple[float, Any]] = deque()

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._open) + len(self._idle)

    @contextmanager
    def using(self) -> Iterator[None]:
        """Return the connection of this thread to the pool after the block.

        Blocks can be nested. All uses of a connection must be in one.
        """
        self.thread.uses += 1
        try:
            yield
        except Exception:
            raise
        except BaseException:  # the answer to a statement may be unread
            self.discard()
            raise
        finally:
            self.thread.uses -= 1
            if not self.thread.uses and self.thread.connection is not None:
                self._return()

    def discard(self) -> None:
        """Close the connection of this thread, and the idle ones.

        If it is broken, the others probably are, too.
        """
        super().discard()
        with self._lock:
            idle, self._idle = self._idle, deque()
        for _, connection in idle:
            connection.close()

    def close_all(self) -> None:
        """Close all connections. The object is unusable afterwards."""
        super().close_all()
        self.discard()

    def _take(self) -> Any:
        """Return an idle connection, or a new one; wait if there can be none."""
        deadline = time.monotonic() + CONNECT_PATIENCE
        while True:
            with self._lock:
                if self._idle:
                    return self._idle.pop()[1]
            try:
                return self._connect()
            except Exception as error:
                if not self._is_refusal(error) or time.monotonic() > deadline:
                    raise
            with self._returned:
                self._returned.wait_for(lambda: self._idle, RETRY_INTERVAL)

    def _return(self) -> None:
        """Make the connection of this thread idle; close those that are so for long."""
        connection, now = self._release(), time.monotonic()
        with self._returned:
            self._idle.append((now, connection))
            number = sum(since < now - MAX_IDLE for since, _ in self._idle)
            unused = [self._idle.popleft()[1] for _ in range(number)]
            self._returned.notify()
        for each in unused:
            each.close()
