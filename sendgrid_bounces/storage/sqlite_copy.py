"""Copy SQLite files page by page, while other processes use them."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from sendgrid_bounces.core.errors import StorageError

#: Pages that are copied at a time; between these steps, a copy can be interrupted.
STEP = 1_000

#: The application identifier in the header of a backup, until a process uses the backup
#: as a database.
BACKUP_ID = int.from_bytes(b"SGBb", "big")

#: The options of SQLite to read a file without the files beside it.
ALONE = "mode=ro&immutable=1"

#: Called with the amount of work that is done, and the amount of all work.
Report = Callable[[int, int], None]


def ignore_progress(_done: int, _total: int) -> None:
    """Report nothing."""


def copy_pages(
    source: sqlite3.Connection, path: Path, report: Report = ignore_progress
) -> None:
    """Copy the database of *source* to the empty file *path*.

    :param report: gets numbers of pages.
    :raises sqlite3.Error: if reading or writing fails.
    """
    with closing(sqlite3.connect(path)) as target:
        # Without a transaction, each write of another process would restart the copy.
        source.execute("BEGIN")
        try:
            source.execute("SELECT 1 FROM sqlite_master").fetchall()
            source.backup(
                target,
                pages=STEP,
                progress=lambda _, left, total: report(total - left, total),
            )
        finally:
            source.rollback()


def is_backup(path: Path) -> bool:
    """Return whether the file *path* is a backup that no process has used.

    A log beside it is ignored. SQLite reads the file, since closing it otherwise would
    end the locks of this process on it.
    """
    with suppress(sqlite3.Error), closing(_open(path, ALONE)) as reading:
        found = reading.execute("PRAGMA application_id").fetchone()
        return bool(found == (BACKUP_ID,))
    return False


def copy_checked(path: Path, copy: Path) -> None:
    """Copy the database in the file *path* to the new file *copy*, and check it.

    :raises OSError: if *path* cannot be read.
    :raises StorageError: if it is not an intact database, or cannot be copied.
    """
    try:
        with closing(_connect(path)) as source:
            copy_pages(source, copy)
        with closing(sqlite3.connect(copy)) as copied:
            problem = _find_problem(copied)
    except sqlite3.OperationalError as error:
        path.open("rb").close()  # SQLite does not report why this fails
        raise StorageError(f"cannot copy {path} to {copy.parent}: {error}") from error
    except sqlite3.DatabaseError as error:
        problem = str(error)
    if problem:
        raise StorageError(f"{path} is not an intact database: {problem}")


def _connect(path: Path) -> sqlite3.Connection:
    """Open *path* for reading; leave no file beside it, unless it is in use."""
    is_used = any(Path(f"{path}{suffix}").exists() for suffix in ("-wal", "-journal"))
    return _open(path, "mode=ro" if is_used else ALONE)


def _open(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True)


def _find_problem(connection: sqlite3.Connection) -> str:
    """Return a problem of a database, or an empty text."""
    ((found,),) = connection.execute("PRAGMA integrity_check(1)")
    if found != "ok":
        return " ".join(str(found).split())
    for table, *_ in connection.execute("PRAGMA foreign_key_check"):
        return f"a row of the table {table} refers to a missing row"
    return ""
