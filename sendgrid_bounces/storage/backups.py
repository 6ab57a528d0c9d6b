"""Backups: copies of a database in SQLite files, whatever its product.

A backup has every table except the request log. Products and releases share the format:
a backup of MariaDB can be restored to SQLite, and an older schema is upgraded first.
"""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import peewee

from sendgrid_bounces.core.contents import Counts
from sendgrid_bounces.core.errors import AbsentError, ConflictError, StorageError
from sendgrid_bounces.core.files import folder_beside, rename_to_new, sync
from sendgrid_bounces.storage import schema, sql
from sendgrid_bounces.storage.contents import ContentsStore
from sendgrid_bounces.storage.database import Storage
from sendgrid_bounces.storage.engine import Engine, Row
from sendgrid_bounces.storage.rows import read_rows
from sendgrid_bounces.storage.sqlite import JOURNAL_SUFFIXES, SQLiteEngine
from sendgrid_bounces.storage.sqlite_copy import (
    BACKUP_ID,
    Report,
    copy_checked,
    ignore_progress,
)
from sendgrid_bounces.storage.tables import (
    TABLES,
    AboutRow,
    AccountRow,
    BounceListRow,
    BounceRow,
    DeletionRow,
    DomainRow,
    EventRow,
    FaultRow,
    FaultSetRow,
    RequestRow,
    SnapshotChunkRow,
)

#: The tables in a backup, in the order of their references.
SAVED_TABLES = tuple(t for t in TABLES if t not in (RequestRow, AboutRow))

#: The tables that a restore replaces. Lists keep their owners, and the version of
#: the fault rules increases.
RESTORED_TABLES = tuple(
    t for t in SAVED_TABLES if t not in (BounceListRow, FaultSetRow)
)

#: The tables that can get rows from other processes while a restore copies.
SHARED_TABLES = (BounceRow, EventRow, DeletionRow)

#: Those that a restore clears first.
CLEARED_TABLES = tuple(t for t in RESTORED_TABLES if t is not FaultRow)

#: Rows that are copied at a time. A chunk of a snapshot may have half a megabyte.
BATCH_ROWS, BATCH_CHUNKS = 1_000, 10

#: The mode of a backup, which contains hashes of API keys.
MODE = 0o600


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was checked, and upgraded if necessary."""

    engine: Engine
    key_salt: str
    counts: Counts


def write_backup(
    engine: Engine,
    path: Path,
    report: Report = ignore_progress,
    *,
    replace: bool = False,
) -> Counts:
    """Copy a database, which may be in use, to the file *path*.

    The file appears when it is complete.

    :param report: gets numbers of pages or of rows.
    :param replace: whether to replace an existing file.
    :raises ConflictError: if there is such a file, or if it is the database itself.
    :raises OSError: if the file cannot be created.
    :raises StorageError: if reading the database or writing the file fails.
    """
    if path.exists() and not path.is_file():
        raise ConflictError(f"{path} is not a regular file")
    path = Path(os.path.realpath(path))
    _check_target(engine, path, replace=replace)
    with folder_beside(path) as folder:
        copy = folder / path.name
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, MODE))
        try:
            is_copied = engine.copy_pages(copy, report)
        except sqlite3.Error as error:
            message = f"cannot copy the {engine} to {path}: {error}"
            raise StorageError(message) from error
        with closing(_open_copy(copy, path)) as target:
            if not is_copied:
                schema.prepare(target, create=True)
                _copy_database(engine, target, report)
            counts = ContentsStore(target).counts()
            target.fetch("PRAGMA journal_mode = delete")  # leaves a single file
            target.execute(f"PRAGMA application_id = {BACKUP_ID}")
        sync(copy)
        _rename(copy, path, replace=replace)
        sync(path.parent)
    return counts


@contextmanager
def open_backup(path: Path) -> Iterator[Backup]:
    """Open a temporary copy of the backup *path*.

    :raises OSError: if the file cannot be read.
    :raises StorageError: if it is not an intact backup, or if a newer release made it.
    """
    if path.exists() and not path.is_dir() and not path.is_file():
        raise StorageError(f"{path} is not a regular file")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy.sqlite3")
        copy_checked(path, copy)
        with closing(_open_copy(copy, path)) as engine:
            try:
                schema.prepare(engine, create=False)
            except AbsentError:
                message = f"{path} is not a backup: it lacks the tables"
                raise StorageError(message) from None
            for table in SAVED_TABLES:
                if not engine.has_table(table):
                    name = sql.table_name(table)
                    raise StorageError(f"{path} is damaged: it lacks the table {name}")
            counts = ContentsStore(engine).counts()
            yield Backup(engine, schema.read_key_salt(engine), counts)


def restore_backup(
    storage: Storage, backup: Backup, report: Report = ignore_progress
) -> None:
    """Replace everything in a database, which may be in use, except the request log.

    :param report: gets numbers of rows.
    """
    engine = storage.engine

    def replace() -> None:
        lists = _Lists(engine, backup.engine)
        storage.contents.clear(CLEARED_TABLES)
        copy = partial(_copy_rows, backup.engine, engine)
        copy(CLEARED_TABLES, report, lists.__getitem__)
        storage.pulls.end_running()
        storage.contents.sweep()
        storage.faults.clear()  # late: calls that match a fault rule wait
        copy([FaultRow], ignore_progress)
        storage.requests.move(backup.key_salt)
        _write_key_salt(engine, backup.key_salt)

    if engine.has_row_locks:
        _reserve_identifiers(backup.engine, engine)
    storage.accounts.transact(replace)


def _reserve_identifiers(source: Engine, target: Engine) -> None:
    """Let all new rows have higher identifiers than the rows of *source*.

    Otherwise, an upsert that is processed beside a restore could get the identifier of
    a restored row, and replace it.
    """

    def insert_last() -> None:
        bounce_list = target.insert(BounceListRow)
        for table in SHARED_TABLES:
            fields = sql.fields_of(table)
            last = table.select(*fields).order_by(sql.primary_key(table).desc())
            text = target.compile(sql.insert_absent(table, fields))
            rows = source.fetch_query(last.limit(1))
            for row in _placed(fields, rows, lambda _: bounce_list):
                target.execute(text, row)
        target.execute_query(
            BounceListRow.delete().where(BounceListRow.id == bounce_list)
        )

    target.transact(insert_last)
    # A statement that runs has its identifiers, and a lock of its list.
    wait = BounceListRow.update(id=BounceListRow.id)
    target.transact(lambda: target.execute_query(wait))


class _Lists(dict[int, int]):
    """The identifiers of lists in a database, by the identifiers in a backup.

    A list keeps its identifier if its account or domain exists, and the domain has the
    same account. Other lists are created on their first use. So a concurrent request
    that has found its list finds the restored bounces there, and never bounces of
    another account.
    """

    def __init__(self, engine: Engine, backup: Engine) -> None:
        super().__init__()
        self._engine = engine
        existing, used = _lists_by_owner(engine), set[int]()
        for owner, saved in _lists_by_owner(backup).items():
            kept = existing.get(owner)
            if kept is not None and kept not in used and saved not in self:
                self[saved] = kept
                used.add(kept)

    def __missing__(self, saved: int) -> int:
        """Create a list."""
        self[saved] = created = self._engine.insert(BounceListRow)
        return created


def _lists_by_owner(engine: Engine) -> dict[tuple[str, ...], int]:
    """Return the list of each account, and of each domain with its account."""
    accounts = AccountRow.select(AccountRow.username, AccountRow.bounce_list)
    domains = DomainRow.select(
        DomainRow.name, AccountRow.username, DomainRow.bounce_list
    ).join(AccountRow)
    return {
        tuple(owner): bounce_list
        for query in (accounts, domains)
        for *owner, bounce_list in engine.fetch_query(query)
    }


def _copy_database(source: Engine, target: Engine, report: Report) -> None:
    """Copy the rows of *source*, as they are at one moment, to the new *target*."""

    def copy() -> None:
        _copy_rows(source, target, SAVED_TABLES, report)
        _write_key_salt(target, schema.read_key_salt(source))

    source.transact(lambda: target.transact(copy), consistent=True)


def _copy_rows(
    source: Engine,
    target: Engine,
    tables: Sequence[type[peewee.Model]],
    report: Report,
    place: Callable[[int], int] = int,
) -> None:
    """Copy all rows of *tables*.

    :param place: returns the identifier of a list in *target*; by default the same.
    """
    done = 0
    total = sum(
        source.fetch_query(table.select(sql.COUNT_ALL))[0][0] for table in tables
    )
    for table in tables:
        fields = sql.fields_of(table)
        is_shared = target.has_row_locks and table in SHARED_TABLES
        insert = sql.insert_absent if is_shared else sql.insert
        text = target.compile(insert(table, fields))
        size = BATCH_CHUNKS if table is SnapshotChunkRow else BATCH_ROWS
        for rows in read_rows(source, table, fields, size):
            target.execute_many(text, _placed(fields, rows, place))
            done += len(rows)
            report(done, total)


def _placed(
    fields: Sequence[peewee.Field],
    rows: Sequence[Row],
    place: Callable[[int], int],
) -> Iterable[Sequence[Any]]:
    """Return *rows* with the identifiers of lists replaced by *place*."""
    lists = [field.name == "bounce_list" for field in fields]
    if not any(lists):
        return rows
    return (
        [
            place(value) if is_list else value
            for value, is_list in zip(row, lists, strict=True)
        ]
        for row in rows
    )


def _write_key_salt(engine: Engine, key_salt: str) -> None:
    engine.execute_query(AboutRow.update(key_salt=key_salt))


def _check_target(engine: Engine, path: Path, *, replace: bool) -> None:
    """Check that a backup may be written to *path*."""
    if path.exists():
        if engine.is_stored_in(path):
            raise ConflictError(f"{path} belongs to the database itself")
        if not replace:
            raise _exists(path)
    _check_leftovers(path)


def _rename(copy: Path, path: Path, *, replace: bool) -> None:
    """Give *copy* the name *path*, unless another program has created such a file."""
    _check_leftovers(path)
    if replace:
        copy.replace(path)
        return
    try:
        rename_to_new(copy, path)
    except FileExistsError:
        raise _exists(path) from None


def _check_leftovers(path: Path) -> None:
    """Check that *path* has no log, which SQLite applies to any file of this name."""
    for suffix in (*JOURNAL_SUFFIXES, "-journal"):
        log = Path(f"{path}{suffix}")
        if log.exists():
            raise ConflictError(
                f"{log} exists: {path.name} is in use, or its program was killed (open "
                f"and close it, or remove {log.name})"
            )


def _exists(path: Path) -> ConflictError:
    return ConflictError(f"{path} already exists (replace it with --force)")


def _open_copy(copy: Path, path: Path) -> SQLiteEngine:
    """Return an engine for the file *copy*, with *path* in its errors."""
    engine = SQLiteEngine(str(copy), "off", create=False)
    engine.location = str(path)
    return engine
