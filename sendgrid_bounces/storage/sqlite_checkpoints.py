"""Keep SQLite's write-ahead log small, which the automatic checkpoints cannot do."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from sendgrid_bounces.storage.sqlite_files import file_size, free_space

#: Bytes of the log after which it is emptied: the automatic checkpoints cannot do so
#: while reads overlap.
MAX_JOURNAL = 64 * 1024 * 1024

#: Available bytes below which the log is emptied whatever its size. Otherwise it takes
#: the rest of the volume, and no write succeeds any more.
MIN_SPACE = 2 * MAX_JOURNAL

#: Commits of a process after which it looks at the size.
CHECKPOINT_STEP = 8

#: Seconds that a thread waits until reads end, and seconds after which it may do so
#: again.
CHECKPOINT_TIMEOUT, CHECKPOINT_INTERVAL = 5, 30

#: Seconds between attempts of a thread that may not wait for locks.
RETRY_INTERVAL = 0.05


class Checkpoints:
    """Empties the write-ahead log of a database when it has grown.

    :param journal: the file of the log.
    :param checkpoint: tries to empty it without waiting, and raises no error.
    """

    def __init__(self, journal: Path, checkpoint: Callable[[], None]) -> None:
        self._journal, self._checkpoint = journal, checkpoint
        self._lock, self._next_wait = Lock(), 0.0

    def run_after_commit(self) -> None:
        """Try once, unless another thread does; sooner on a nearly full volume."""
        try:
            space = free_space(self._journal.parent)
        except OSError:
            space = MIN_SPACE
        most = MAX_JOURNAL if space >= MIN_SPACE else 0
        if self._has_grown(most) and self._lock.acquire(blocking=False):
            try:
                self._checkpoint()
            finally:
                self._lock.release()

    def run_before_search(self) -> None:
        """Wait until the reads that run have ended.

        The attempts after commits fail if one search begins before another ends. If one
        thread has waited in vain, the next ones do not wait for some time.
        """
        if not self._has_grown(MAX_JOURNAL):
            return
        with self._lock:
            began = time.monotonic()
            may_wait = began >= self._next_wait
            self._run_until(began + CHECKPOINT_TIMEOUT if may_wait else began)
            if may_wait and self._has_grown(MAX_JOURNAL):
                self._next_wait = time.monotonic() + CHECKPOINT_INTERVAL

    def _run_until(self, deadline: float) -> None:
        """Try at least once. An attempt that waits would keep out writers."""
        while self._has_grown(MAX_JOURNAL):
            self._checkpoint()
            if time.monotonic() >= deadline:
                break
            time.sleep(RETRY_INTERVAL)

    def _has_grown(self, most: int) -> bool:
        return file_size(self._journal) > most
