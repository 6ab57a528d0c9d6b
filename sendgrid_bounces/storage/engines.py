"""Engines: what differs between one database product and another.

An engine runs SQL text, keeps one open connection for each thread, and turns the
product's errors into :class:`StorageError`. Nothing above it names a product.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote

import peewee

from sendgrid_bounces.core.errors import StorageError

Row = tuple[Any, ...]

#: How long a writer waits for the one before it, in seconds. With many writers the
#: longest wait is a few seconds; past this something is wrong.
BUSY_TIMEOUT = 30


class SQLiteEngine:
    """SQLite in a file: many readers and one writer at a time, in several processes.

    Write-ahead logging lets readers go on while somebody writes. A writer takes the
    lock when it begins, never when it first writes: one that has read before cannot
    wait for the lock any more and would fail at once.
    """

    name = "sqlite"

    def __init__(self, url: SplitResult) -> None:
        options = dict(parse_qsl(url.query))
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
        self._database = _Database(
            path,
            timeout=BUSY_TIMEOUT,
            check_same_thread=False,
            pragmas={
                "journal_mode": "wal",
                "synchronous": synchronous,
                "foreign_keys": 1,
                "cache_size": -16_000,
                "wal_autocheckpoint": 10_000,
            },
        )
        self.location = path
        self._reporting = _Reporting(f"{self.name} database {path}")

    def text(self, query: peewee.Query) -> str:
        """Return the SQL text of *query*, with a place for each of its values."""
        text, _values = query.bind(self._database).sql()
        return str(text)

    def fetch(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Run a query and return all its rows."""
        with self._reporting:
            return self._database.run(sql, values).fetchall()

    def change(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run a change and return how many rows it touched."""
        with self._reporting:
            return self._database.run(sql, values).rowcount

    def change_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a change once for each of *rows*."""
        with self._reporting:
            self._database.run_many(sql, rows)

    def select(self, query: peewee.Query) -> list[Row]:
        """Run a *query* that is not worth keeping as text; return all its rows."""
        text, values = query.bind(self._database).sql()
        return self.fetch(text, values)

    def execute(self, query: peewee.Query) -> int:
        """Run a change that is not worth keeping; return how many rows it touched."""
        text, values = query.bind(self._database).sql()
        return self.change(text, values)

    def insert(self, table: type[peewee.Model], **values: object) -> int:
        """Insert a row into *table* and return its identifier."""
        text, places = table.insert(values).bind(self._database).sql()
        with self._reporting:
            return self._database.run(text, places).lastrowid or 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is done inside one act: all of it is stored, or nothing.

        Inside another transaction it becomes part of that one.
        """
        with self._reporting, self._database.transaction("IMMEDIATE"):
            yield

    def has_table(self, table: type[peewee.Model]) -> bool:
        """Return whether *table* is there."""
        with self._reporting:
            return bool(self._database.table_exists(table))

    def create_tables(self, tables: Sequence[type[peewee.Model]]) -> None:
        """Create the tables and indexes that do not exist yet."""
        for table in tables:
            peewee.SchemaManager(table, self._database).create_all(safe=True)

    def upsert(
        self, table: type[peewee.Model], keys: Sequence[str], kept: Sequence[str] = ()
    ) -> str:
        """Return the text that inserts a row of *table* or updates the one there.

        :param keys: the columns that say whether a row is there already.
        :param kept: the columns that an update leaves as they are.
        """
        meta = table._meta  # noqa: SLF001 - where peewee keeps the fields
        fields = [field for field in meta.sorted_fields if field.name != "id"]
        changed = [f for f in fields if f.name not in keys and f.name not in kept]
        target = [field for field in fields if field.name in keys]
        query = table.insert(dict.fromkeys(fields))
        return self.text(query.on_conflict(conflict_target=target, preserve=changed))

    def close(self) -> None:
        """Close the connections of all threads. Nothing may follow."""
        self._database.close_all()


class _Reporting:
    """Turns the errors of Peewee and its driver into :class:`StorageError`."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, peewee.PeeweeException | sqlite3.Error):
            first = error.__context__ or error  # a rollback can fail, too
            raise StorageError(f"{self._place}: {first}") from error


class _Database(peewee.SqliteDatabase):
    """Peewee's SQLite, knowing all its threads' connections so as to close them."""

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(path, **options)
        self._connections: list[sqlite3.Connection] = []
        self._connections_lock = threading.Lock()

    def run(self, sql: str, values: Sequence[object]) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.execute_sql(sql, values)  # type: ignore[no-untyped-call] # in its stubs
        return cursor

    def run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        connection: sqlite3.Connection = self.connection()  # type: ignore[no-untyped-call] # in its stubs
        connection.executemany(sql, rows)

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._connect()  # type: ignore[misc] # not in its stubs
        with self._connections_lock:
            self._connections.append(connection)
        return connection

    def close_all(self) -> None:
        with self._connections_lock:
            while self._connections:
                self._connections.pop().close()


ENGINES = {"sqlite": SQLiteEngine}
