"""SQLite in a file."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote

import peewee

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.storage.engine import Engine, Result, TrackedDatabase

#: How long a writer waits for the one before it, in seconds. With many writers the
#: longest wait is a few seconds; past this something is wrong.
BUSY_TIMEOUT = 30


class SQLiteEngine(Engine):
    """SQLite: many readers and one writer at a time, in several processes.

    Write-ahead logging lets readers go on while somebody writes. A writer takes the
    lock when it begins, never when it first writes: one that has read before cannot
    wait for the lock any more and would fail at once.
    """

    name = "sqlite"

    def __init__(self, url: SplitResult) -> None:
        options = dict(parse_qsl(url.query, keep_blank_values=True))
        synchronous = options.pop("synchronous", "full").lower()
        path = unquote(url.path[1:])
        if url.netloc or url.fragment or not path or not url.path.startswith("/"):
            raise StorageError(
                "an SQLite URL takes three slashes and a file name, its # and ? "
                "encoded, as sqlite:///bounces.sqlite3"
            )
        if path == ":memory:":
            raise StorageError(
                "an SQLite database in memory is seen by one thread only: name a file"
            )
        if options or synchronous not in ("full", "normal", "off"):
            raise StorageError(
                "an SQLite URL takes one option: synchronous=full, normal or off"
            )
        try:
            os.stat(path)  # noqa: PTH116 - pathlib hides what makes it no name
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise StorageError(f"{path!r} is no file name: {error}") from None
        has_folder = Path(path).parent.is_dir()
        if not has_folder:
            raise StorageError(f"there is no folder {Path(path).parent}")
        database = _Database(
            path,
            timeout=BUSY_TIMEOUT,
            check_same_thread=False,
            pragmas={
                "journal_mode": "wal",
                "synchronous": synchronous,
                "foreign_keys": 1,
                # Kilobytes for each thread; the system's own cache does the rest.
                "cache_size": -4_000,
                "wal_autocheckpoint": 10_000,
            },
        )
        self._synchronous = synchronous
        super().__init__(database, path, (sqlite3.Error,))

    def exists(self) -> bool:
        """Return whether the file exists: whoever connects makes it."""
        return Path(self.location).exists()

    def transact_relaxed(self, action: Callable[[], Result], patience: int) -> Result:
        """Do *action* as one act that may be lost if the power fails.

        It does not wait for the disk, and for others no longer than *patience* seconds.
        """
        self.fetch(f"PRAGMA busy_timeout = {patience * 1000}")
        if self._synchronous == "full":
            self.fetch("PRAGMA synchronous = normal")
        try:
            return self.transact(action)
        finally:
            self.fetch(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000}")
            self.fetch(f"PRAGMA synchronous = {self._synchronous}")

    def _begin(self, *, consistent: bool) -> tuple[str, ...]:
        return ("IMMEDIATE",)


class _Database(TrackedDatabase, peewee.SqliteDatabase):
    """Peewee's SQLite."""
