"""The health of a database: whether it answers, and whether it can be written."""

import threading
from time import monotonic

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.storage.engine import Engine

#: Seconds that the result of a write is valid, so that many checks cost few writes.
INTERVAL = 1

#: Seconds that a write may take before other checks report it.
PATIENCE = 5


class HealthCheck:
    """Checks that the database answers and can be written.

    The write changes nothing. It waits neither for the disk nor for other writers,
    which show that the database can be written, unless the last write waited in vain.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = engine.relaxed(timeout=0)
        self._lock = threading.Lock()
        self._checked, self._began = float("-inf"), float("inf")
        self._error: StorageError | None = None

    def check(self) -> None:
        """Read the version of the schema, and write.

        A cluster node without its peers refuses to read.

        :raises StorageError: if the database does not answer or cannot be written, if
            a file of it was removed or replaced, or if a newer version of the package
            upgraded the schema.
        """
        self._engine.check_location()
        self._engine.check_version()
        self._engine.check_journal()
        if self._lock.acquire(blocking=False):  # one thread writes at a time
            try:
                self._began = began = monotonic()
                if began - self._checked >= INTERVAL:
                    self._error = self._write()
                    self._checked = monotonic()
            finally:
                self._began = float("inf")
                self._lock.release()
        elif monotonic() - self._began > PATIENCE:
            reason = "the database does not answer a write"
            raise StorageError(f"{self._engine}: {reason}", reason=reason)
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _write(self) -> StorageError | None:
        """Return the error of a write, None if it succeeds."""
        engine = self._writing
        try:
            engine.check_space()
            engine.check_writable()
        except StorageError as error:
            text = str(error).removeprefix(f"{engine}: ")
            reason = error.reason or f"the database cannot be written: {text}"
            return StorageError(str(error), error.code, reason)
        return None
