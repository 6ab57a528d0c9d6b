"""SQLite: a database in a file."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from stat import S_IMODE
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote
from zlib import crc32

import peewee

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.storage import sql
from sendgrid_bounces.storage.connections import Connections
from sendgrid_bounces.storage.engine import Engine, Identity, Result, Row
from sendgrid_bounces.storage.sqlite_checkpoints import (
    CHECKPOINT_STEP,
    RETRY_INTERVAL,
    Checkpoints,
)
from sendgrid_bounces.storage.sqlite_copy import (
    BACKUP_ID,
    Report,
    copy_pages,
    is_backup,
)
from sendgrid_bounces.storage.sqlite_files import (
    check_space,
    file_size,
    find_refusal,
    is_mount_point,
)
from sendgrid_bounces.storage.tables import UNIQUE_ID, RequestRow
from sendgrid_bounces.storage.writers import Failures, Writers

#: Seconds that a writer waits for other writers. Waits of a few seconds are normal with
#: many writers.
BUSY_TIMEOUT = 30

#: Accepted values of the URL's option ``synchronous``; the first is the default.
SYNCHRONOUS = ("full", "normal", "off")

#: The ending of the request log's file, after the name of the database's file.
LOG_SUFFIX = "-requests"

#: The endings that SQLite adds to the name of the file, for the write-ahead log and for
#: the index of it that processes share.
JOURNAL_SUFFIXES = ("-wal", "-shm")

#: Seconds in which another process opens or closes the database, and creates or removes
#: the index of the write-ahead log.
INDEX_TIMEOUT = 2

#: Seconds that a request waits for other writers of the log before it is not logged.
LOG_TIMEOUT = 1

#: The end of the message of an operation that another writer prevents.
LOCKED = "database is locked"

#: The end of the message of an error that a full disk can cause.
IO_ERROR = "disk I/O error"

#: The end of the message of a write on a connection that can only read: the file could
#: not be written when the connection was opened.
READ_ONLY = "attempt to write a readonly database"

#: The end of the message of an error whose reason SQLite does not report.
UNOPENED = "unable to open database file"

#: The ends of the messages of errors that show that the file cannot be written.
BROKEN = (
    IO_ERROR,
    "database disk image is malformed",
    "database or disk is full",
    READ_ONLY,
    UNOPENED,
)

#: The end of the message of a query that its progress handler stopped.
INTERRUPTED = "interrupted"

#: Instructions of SQLite's virtual machine between two checks of a search's deadline:
#: thousands of rows, because a check needs the interpreter's lock.
CLOCK_INTERVAL = 100_000

#: Settings of every connection besides ``synchronous``.
PRAGMAS = (
    "journal_mode = wal",
    "foreign_keys = 1",
    "cache_size = -4000",  # kilobytes per thread; the system caches the file, too
    "wal_autocheckpoint = 10000",
)

#: The same for the request log, which stays small.
LOG_PRAGMAS = (
    "page_size = 2048",  # of a new file; an entry changes two pages
    "journal_mode = wal",
    "cache_size = -400",
    "wal_autocheckpoint = 2000",
)

#: The device and the inode of each of some files; empty if there is no file.
Identities = list[Identity]


class SQLiteEngine(Engine):
    """SQLite: many readers and one writer at a time, in several processes.

    Write-ahead logging keeps readers and the writer apart. A transaction takes the
    write lock at its beginning: if it read first, and another writer was faster, the
    first write would fail at once.

    :param synchronous: one of :data:`SYNCHRONOUS`.
    :param timeout: seconds to wait for other writers.
    :param create: whether the first connection creates a missing file, which only its
        owner can read. Later connections fail, so that the removal of the file is
        noticed.
    """

    name = "sqlite"
    begin_statement = "BEGIN IMMEDIATE"
    find_table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    reuses_ids = True
    idle_write = "PRAGMA user_version = 0"  # an update by the same value writes nothing
    pragmas: tuple[str, ...] = PRAGMAS

    def __init__(
        self,
        path: str,
        synchronous: str,
        timeout: int = BUSY_TIMEOUT,
        *,
        create: bool = True,
    ) -> None:
        self._file = Path(path).absolute()
        self._create = create
        self._synchronous = synchronous
        self._timeout = timeout
        self._journal_identities: Identities = []
        self._commits = count(1)
        self._resolve()
        self._others: list[Engine] = []
        self._writers, self._failures = Writers(), Failures()
        builder = peewee.SqliteDatabase(None, field_types={UNIQUE_ID: "AUTOINCREMENT"})
        # A damaged schema is not UTF-8.
        errors = (sqlite3.Error, UnicodeDecodeError)
        super().__init__(path, builder, Connections(self._connect), errors)

    def _resolve(self) -> None:
        """Follow symbolic links: SQLite has the log beside the file that they name."""
        self._target = Path(os.path.realpath(self._file))
        self._journal = [Path(f"{self._target}{s}") for s in JOURNAL_SUFFIXES]
        self._checkpoints = Checkpoints(self._journal[0], self._checkpoint)

    def exists(self) -> bool:
        """Return whether the file exists, which connecting would create."""
        self._check_folder()
        return self._file.exists()

    def expect(self, identity: Identity) -> None:
        """Use no other file than that of *identity*, which has the schema."""
        super().expect(identity)
        self._create = False

    def transact(
        self, action: Callable[[], Result], *, consistent: bool = False
    ) -> Result:
        """Run *action* in a transaction, and count failures for the health check."""
        if self.connections.thread.in_transaction:
            return action()
        try:
            result = super().transact(action, consistent=consistent)
        except StorageError as error:
            if str(error).endswith(BROKEN):
                self._failures.add(error)
            self._renew_connection(error)
            raise
        self._failures.error = None
        if not next(self._commits) % CHECKPOINT_STEP:
            self._checkpoints.run_after_commit()
        return result

    def _checkpoint(self) -> None:
        """Empty the write-ahead log, if no read that runs needs it.

        A process must not do so with an index of the log that was removed.
        """
        with suppress(StorageError), self._busy_timeout(0):
            self.check_journal()
            self.fetch("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _busy_timeout(self, seconds: int) -> Iterator[None]:
        """Wait for locks for *seconds* in the block."""
        connection = self.connections.current()
        connection.execute(f"PRAGMA busy_timeout = {seconds * 1000}")
        try:
            yield
        finally:
            connection.execute(f"PRAGMA busy_timeout = {self._timeout * 1000}")

    def _renew_connection(self, error: StorageError) -> None:
        """Close the connection of this thread if *error* shows that it is read-only."""
        if str(error).endswith(READ_ONLY):
            self.connections.discard()

    def search(self, text: str, values: Sequence[object], seconds: float) -> list[Row]:
        """Run a query that no index answers, and return all rows."""
        self._checkpoints.run_before_search()
        connection = self.connections.current()
        deadline = time.monotonic() + seconds
        connection.set_progress_handler(
            lambda: time.monotonic() > deadline, CLOCK_INTERVAL
        )
        try:
            return self.fetch(text, values)
        except StorageError as error:
            if str(error).endswith(INTERRUPTED):
                raise self.search_timeout() from error
            raise
        finally:
            connection.set_progress_handler(None, 0)

    def relaxed(self, timeout: int) -> Engine:
        """Return an engine for transactions that do not wait for the disk."""
        level = "normal" if self._synchronous == "full" else self._synchronous
        engine = SQLiteEngine(self.location, level, timeout, create=False)
        engine.identity = self.identity
        engine._writers, engine._failures = self._writers, self._failures
        engine.has_schema = self.has_schema
        self._others.append(engine)
        return engine

    def limit_writers(self, most: int) -> None:
        """Let *most* threads of the process wait for a long transaction."""
        self._writers.most = most

    def open_log(self) -> Engine:
        """Return an engine for the file of the request log, which need not exist."""
        level = "off" if self._synchronous == "off" else "normal"
        engine = SQLiteLogEngine(f"{self.location}{LOG_SUFFIX}", level, LOG_TIMEOUT)
        self._others.append(engine)
        return engine

    def create_tables(
        self, tables: Sequence[type[peewee.Model]], finish: Callable[[], None]
    ) -> None:
        """Create the missing tables and indexes, except the request log."""
        super().create_tables([t for t in tables if t is not RequestRow], finish)

    def copy_pages(self, path: Path, report: Report) -> bool:
        """Copy the state of the database at one moment to the empty file *path*."""
        self.check_location()
        copy_pages(self.connections.current(), path, report)
        return True

    def is_stored_in(self, path: Path) -> bool:
        """Return whether *path* is a file of the database."""
        endings = ("", *JOURNAL_SUFFIXES)
        log = [Path(f"{self.location}{LOG_SUFFIX}{each}") for each in endings]
        files = [self._file, *self._journal, *log]
        return any(file.exists() and file.samefile(path) for file in files)

    def empty_journal(self) -> None:
        """Connect to both files: SQLite empties the log with the last connection."""
        for engine in (self, self.open_log()):
            if engine.exists():
                engine.fetch("PRAGMA user_version")

    def close(self) -> None:
        """Close the connections of all threads. The engine is unusable afterwards."""
        for engine in self._others:
            engine.close()
        super().close()

    def check_location(self) -> None:
        """Check that the file is the one that the first connection opened.

        SQLite goes on writing to a removed file, and the writes are lost at the end. A
        file that was moved behind a symbolic link has another write-ahead log.
        """
        if not self.identity:
            return
        target = os.path.realpath(self._file)
        (found,) = _identify(Path(target))
        if self.identity != (*found, target):
            raise self._removed("the file")

    def check_journal(self) -> None:
        """Check that all connections have the same write-ahead log and index of it.

        SQLite removes both with the last connection. If another program removes
        them, older connections go on with the removed files, and newer connections
        create new files.
        """
        known = self._journal_identities
        found = _identify(*self._journal)
        if found == known:
            return
        for path, now, before in zip(self._journal, found, known, strict=False):
            if before and now != before:
                raise self._removed(f"{path.name} (write-ahead log)")
        self._journal_identities = found

    def _check_new_journal(self) -> None:
        """Check that processes that use the file have the same log and index of it.

        With a new log, and the index that other processes use, SQLite would write over
        the file. With a new index, processes that use another one would not see the
        writes, and could undo them. Without other processes, SQLite restores the index.
        """
        log, index = self._journal
        self._check_unused_log(log)
        # Twice, since another process may just remove the index, and then the log.
        if all(index.exists() and not log.exists() for _ in range(2)):
            raise self._log_error(
                log, f"was removed (stop the server, and remove {index.name}, too)"
            )
        deadline = time.monotonic() + INDEX_TIMEOUT
        while not index.exists() and self._is_in_use():
            if time.monotonic() > deadline:
                raise self._log_error(
                    index,
                    "was removed, or the file was moved, while another process uses it "
                    "(restart the server)",
                )
            time.sleep(RETRY_INTERVAL)

    def _is_in_use(self) -> bool:
        """Return whether another connection has a lock on the file.

        SQLite finds this by an exclusive lock, which needs no index. With the lock,
        SQLite writes the rest of a log to the file.
        """
        with (
            suppress(sqlite3.Error),
            closing(self._open("rw", timeout=0)) as connection,
        ):
            try:
                connection.execute("PRAGMA locking_mode = exclusive")
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            except sqlite3.OperationalError as error:
                return str(error).endswith(LOCKED)
        return False

    def _check_unused_log(self, log: Path) -> None:
        """Check that the write-ahead log, if there is one, is that of the file.

        SQLite would remove a log beside an empty file, ignore a log beside a symbolic
        link, and mix a log with a backup that replaced the file.
        """
        moved = Path(f"{self._file}{JOURNAL_SUFFIXES[0]}")
        is_of_link = file_size(moved) and not (log.exists() and moved.samefile(log))
        if is_of_link or (file_size(log) and self._is_new()):
            raise self._log_error(
                moved if is_of_link else log,
                "belongs to a file that was moved, removed or replaced (put the file "
                "back, or move the log away)",
            )

    def _is_new(self) -> bool:
        """Return whether the file has had no write-ahead log yet, or is missing."""
        return not file_size(self._target) or is_backup(self._target)

    def _log_error(self, log: Path, reason: str) -> StorageError:
        """Return the error for a write-ahead log that cannot be used."""
        text = f"{log.name} (write-ahead log) {reason}"
        return StorageError(f"{self}: {text}", reason=f"the database: {text}")

    def check_space(self) -> None:
        """Check that the folder has space for the data of a few calls.

        A small write can succeed on a full disk, inside the file.

        :raises StorageError: if it has not.
        """
        try:
            check_space(self._target.parent)
        except OSError as error:
            raise StorageError(f"{self}: {error.strerror}") from error

    def _storage_error(self, error: Exception) -> StorageError:
        """Return *error*, or the error of the disk or of the rights that caused it."""
        found = super()._storage_error(error)
        if str(found).endswith(IO_ERROR):
            try:
                self.check_space()
            except StorageError as cause:
                return cause
        if str(found).endswith(UNOPENED) and (reason := find_refusal(self._target)):
            return StorageError(f"{self}: {reason}: {UNOPENED}", found.code)
        return found

    def check_writable(self) -> None:
        """Write without changing anything, and check that clients can write.

        A writer that has the lock shows that the database can be written, unless the
        last thread to wait for the lock did so in vain. The write does not show that
        the other tables can be written.
        """
        try:
            super().transact(partial(self.execute, self.idle_write))
        except StorageError as error:
            self._renew_connection(error)
            if self._writers.have_failed or not _is_locked(error):
                raise
        self._failures.check()

    def _begin(self, *, consistent: bool) -> None:
        self.check_location()
        with self._writers.waiting() as may_wait:
            if may_wait:
                super()._begin(consistent=consistent)
            else:
                self._begin_soon()
        try:  # with the lock, so that no upgrade is in progress
            self.check_journal()
            self.check_version()
        except BaseException:
            self._rollback()
            raise

    def _removed(self, what: str) -> StorageError:
        """Return the error for a file that was removed or replaced."""
        reason = f"{what} was removed or replaced (restart the server)"
        return StorageError(
            f"{self} no longer exists: {reason}",
            reason=f"the database no longer exists: {reason}",
        )

    def _begin_soon(self) -> None:
        """Begin a transaction, unless another one takes long.

        :raises StorageError: if it does.
        """
        deadline = time.monotonic() + self._timeout
        with self._busy_timeout(0):
            while True:
                try:
                    return super()._begin(consistent=True)
                except StorageError as error:
                    is_over = self._writers.is_stuck() or time.monotonic() > deadline
                    if is_over or not _is_locked(error):
                        raise
                time.sleep(RETRY_INTERVAL)

    def _connect(self) -> sqlite3.Connection:
        self.check_location()
        is_first = not len(self.connections)
        if is_first:
            self._resolve()
        if not self.identity:
            self._check_names()
        if is_first:
            self._check_new_journal()
        else:
            self.check_journal()
        if self._create:
            self._check_folder()
            with suppress(OSError):  # SQLite reports the reason
                self._create_file()
        mode = "rwc" if self._create else "rw"
        connection = self._open(mode, timeout=self._timeout)
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        self._create = False
        if not self.identity:
            (found,) = _identify(self._target)
            self.identity = (*found, str(self._target))
        if is_first:
            self._journal_identities = _identify(*self._journal)
        return connection

    def _create_file(self) -> None:
        """Create the file, which only its owner can read, unless it exists.

        To close a file that exists would end the locks of this process on it.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(self._target, flags, 0o600))

    def _open(self, mode: str, *, timeout: int) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._file.as_uri()}?mode={mode}",
            uri=True,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=False,
        )

    def _set_up(self, connection: sqlite3.Connection) -> None:
        """Apply the settings of a connection.

        SQLite does not wait for a writer before it turns on write-ahead logging, such
        as another process that does the same.
        """
        deadline = time.monotonic() + self._timeout
        pragmas = (*self.pragmas, f"synchronous = {self._synchronous}")
        if connection.execute("PRAGMA application_id").fetchone() == (BACKUP_ID,):
            pragmas = ("application_id = 0", *pragmas)  # before it has a log
        for pragma in pragmas:
            while True:
                try:
                    connection.execute(f"PRAGMA {pragma}")
                    break
                except sqlite3.OperationalError as error:
                    is_over = time.monotonic() > deadline
                    if is_over or not str(error).endswith(LOCKED):
                        raise
                time.sleep(RETRY_INTERVAL)

    def _check_names(self) -> None:
        """Check that the file has one name.

        SQLite has a write-ahead log for each name. Processes that use different names
        do not see each other's writes, and can undo them. In a container, the log of a
        mounted file would be lost with the container.
        """
        with suppress(OSError):  # SQLite reports the reason
            number = self._target.stat().st_nlink
            if number > 1 and self._target.is_file():
                raise StorageError(
                    f"{self} has {number} names (hard links), which would have "
                    "different contents: remove the others, or use a copy of the file"
                )
        if is_mount_point(self._target):
            raise StorageError(
                f"{self} is mounted without its folder, which has the write-ahead log: "
                "mount the folder"
            )

    def _check_folder(self) -> None:
        if not self._file.parent.is_dir():
            raise StorageError(f"folder {self._file.parent} does not exist")

    def _code(self, error: Exception) -> int | None:
        code: Any = getattr(error, "sqlite_errorcode", None)  # since Python 3.11
        return code if isinstance(code, int) else None


class SQLiteLogEngine(SQLiteEngine):
    """The file of the request log, apart from the database.

    No request waits for a writer of the database, and no writer for the log.
    """

    pragmas = LOG_PRAGMAS

    def _storage_error(self, error: Exception) -> StorageError:
        found = super()._storage_error(error)
        self._renew_connection(found)
        return found

    def _create_file(self) -> None:
        """Create the file for all who can use the database, even if root does so."""
        super()._create_file()
        database = Path(self.location.removesuffix(LOG_SUFFIX)).stat()
        self._target.chmod(S_IMODE(database.st_mode))
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            os.chown(self._target, database.st_uid, database.st_gid)

    def _check_unused_log(self, log: Path) -> None:
        """Accept a log without its file: new requests matter more than lost ones."""

    def prepare_log(self, table: type[peewee.Model], tag: str) -> None:
        """Create the table; replace a table of another layout or another database."""
        create, version = self._describe_log(table, tag)

        def replace() -> None:
            if self.fetch("PRAGMA user_version") != [(version,)]:
                self.execute(f"DROP TABLE IF EXISTS {sql.table_name(table)}")
                self.execute(create)
                self.execute(f"PRAGMA user_version = {version}")

        if self.fetch("PRAGMA user_version") != [(version,)]:
            self.transact(replace)

    def move_log(self, table: type[peewee.Model], tag: str, new_tag: str) -> None:
        """Change the version of the file, if it has the log of the database *tag*."""
        _, version = self._describe_log(table, tag)
        _, new_version = self._describe_log(table, new_tag)
        if self.exists() and self.fetch("PRAGMA user_version") == [(version,)]:
            self.execute(f"PRAGMA user_version = {new_version}")

    def _describe_log(self, table: type[peewee.Model], tag: str) -> tuple[str, int]:
        """Return the statement that creates the table, and the version of the file."""
        create, _ = sql.create_statements(table, self._builder)
        return create, crc32(f"{tag} {create}".encode()) >> 1


def _is_locked(error: StorageError) -> bool:
    """Return whether *error* says that another writer has the database's lock."""
    return str(error).endswith(LOCKED)


def _identify(*paths: Path) -> Identities:
    """Return the device and the inode of each file; of a symbolic link, its own.

    SQLite opens no write-ahead log by a symbolic link.

    :raises StorageError: if its folder cannot be searched.
    """
    found: Identities = []
    for path in paths:
        try:
            status = path.lstat()
        except PermissionError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        except OSError:
            found.append(())
        else:
            found.append((status.st_dev, status.st_ino))
    return found


def open_sqlite(url: SplitResult) -> SQLiteEngine:
    """Return the engine for *url*, which connects on its first use.

    :raises StorageError: if the URL is invalid.
    """
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    synchronous = options.pop("synchronous", SYNCHRONOUS[0]).lower()
    path = unquote(url.path[1:])
    if url.netloc or url.fragment or not path or not url.path.startswith("/"):
        raise StorageError(
            "an SQLite URL needs three slashes and a file name with # and ? encoded, "
            "such as sqlite:///bounces.sqlite3"
        )
    if path == ":memory:":
        raise StorageError(
            "an SQLite database in memory is visible to one thread only: name a file"
        )
    if options or synchronous not in SYNCHRONOUS:
        raise StorageError(
            "an SQLite URL accepts one option: synchronous=full, normal or off"
        )
    try:
        os.stat(path)  # noqa: PTH116 - pathlib hides the errors of invalid names
    except (FileNotFoundError, PermissionError):
        pass  # the first connection reports the reason
    except (OSError, ValueError) as error:
        raise StorageError(f"{path!r} is not a file name: {error}") from None
    return SQLiteEngine(path, synchronous)
