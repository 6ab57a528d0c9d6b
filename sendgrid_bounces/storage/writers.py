"""Limits on the threads of a process that wait for locks of a database."""

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from threading import Lock, Semaphore
from time import monotonic

from sendgrid_bounces.core.errors import StorageError

#: Seconds without progress of any writer after which a lock is held for long: by a long
#: import, or by another program.
PATIENCE = 1.0

#: Seconds of failures without a successful transaction after which writes count as
#: failing, and seconds after the last failure for which they do.
FAILURE_SECONDS, MEMORY_SECONDS = 10.0, 60.0


class Writers:
    """The threads that wait for a database with one lock for all writers.

    All threads wait while transactions are short. During a long transaction, some
    threads go on waiting, and the rest get an error, so that threads remain for reads.

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


class Failures:
    """The failures of transactions since the last one that has succeeded.

    :ivar error: the last error; to be set to None by a success.
    """

    def __init__(self) -> None:
        self.error: StorageError | None = None
        self._since = self._last = 0.0

    def add(self, error: StorageError) -> None:
        """Add the error of a transaction."""
        self._last = monotonic()
        if self.error is None:
            self._since = self._last
        self.error = error.with_traceback(None)  # without the values of its frames

    def check(self) -> None:
        """Raise the last error if all transactions have failed for some time."""
        lasted, age = self._last - self._since, monotonic() - self._last
        error = self.error
        if error and lasted >= FAILURE_SECONDS and age <= MEMORY_SECONDS:
            raise error.with_traceback(None)


class Transactions:
    """The transactions that may wait for locks of each other.

    :param most: transactions at the same time. The next transaction waits while some
        of these end, and is refused if none ends, so that threads remain for reads.
    :param harmless: error codes that do not show that the database cannot be written.
    :ivar failures: the transactions that failed with another error code.
    """

    def __init__(
        self, most: int = sys.maxsize, *, harmless: Collection[int | None] = ()
    ) -> None:
        self._harmless = harmless
        self._places = Semaphore(most)
        self._changed = 0.0
        self.failures = Failures()

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Run the block as one of the transactions.

        :returns: whether there is a place; the block must raise an error if not.
        """
        is_free = self._places.acquire(blocking=False) or self._wait()
        if is_free:
            self._changed = monotonic()
        try:
            yield is_free
        except StorageError as error:
            if error.code not in self._harmless:
                self.failures.add(error)
            raise
        else:
            self.failures.error = None
        finally:
            if is_free:
                self._changed = monotonic()
                self._places.release()

    def _wait(self) -> bool:
        """Wait as long as places become free; return whether there is one."""
        while (rest := self._changed + PATIENCE - monotonic()) > 0:
            if self._places.acquire(timeout=rest):
                return True
        return False
