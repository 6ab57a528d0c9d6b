"""Database connections: each thread has its own, and all can be closed."""

import threading
from collections.abc import Callable
from typing import Any


class ThreadState(threading.local):
    """The connection of the current thread and its state."""

    connection: Any = None
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
