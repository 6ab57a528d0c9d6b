"""Limits on the threads of a process that wait for locks of a database."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Semaphore
from time import monotonic

#: Seconds without progress of any writer after which a lock is held for long: by a long
#: import, or by another program.
PATIENCE = 1.0


class Writers:
    """The threads that wait for a database with one lock for all writers.

    They are many and wait shortly if transactions are short. If one is long, most of
    them go on waiting, and the others give up, so that a process has threads for reads.

    :param most: threads that go on waiting.
    :ivar have_failed: whether the last thread that went on waiting did so in vain.
    """

    def __init__(self, most: int = sys.maxsize) -> None:
        self.most = most
        self.have_failed = False
        self._lock = Lock()
        self._waiting = 0
        self._began = 0.0

    @contextmanager
    def waiting(self) -> Iterator[bool]:
        """Count this thread in the block, which waits for the lock and gets it.

        :returns: whether it may wait while the lock is held for long.
        """
        arrived = monotonic()
        with self._lock:
            if not self._waiting:
                self._began = arrived
            self._waiting += 1
            may_wait = self._waiting <= self.most
        try:
            yield may_wait
        except BaseException:
            if may_wait and monotonic() - arrived > PATIENCE:
                self.have_failed = True
            raise
        else:
            self._began = monotonic()
            self.have_failed = False
        finally:
            with self._lock:
                self._waiting -= 1

    def is_stuck(self) -> bool:
        """Return whether no thread has got the lock recently."""
        return monotonic() - self._began > PATIENCE


class Transactions:
    """The transactions that may wait for locks of each other.

    :param most: transactions at the same time. Another one waits until one of them
        ends, and is refused if none does, so that a process has threads for reads.
    """

    def __init__(self, most: int = sys.maxsize) -> None:
        self._places = Semaphore(most)
        self._ended = 0.0

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Run the block as one of the transactions.

        :returns: whether there is a place; the block must end at once if not.
        """
        arrived = monotonic()
        while not self._places.acquire(timeout=PATIENCE):
            if monotonic() - max(self._ended, arrived) >= PATIENCE:
                yield False
                return
        try:
            yield True
        finally:
            self._ended = monotonic()
            self._places.release()
