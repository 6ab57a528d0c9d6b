"""The engine: runs SQL on a database product.

The stores use this interface only. Differences between products are attributes and
methods of the subclasses in :mod:`.sqlite` and :mod:`.mysql`.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import peewee

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.storage import sql
from sendgrid_bounces.storage.connections import Connections
from sendgrid_bounces.storage.sqlite_copy import Report
from sendgrid_bounces.storage.tables import SCHEMA_VERSION, AboutRow

Row = tuple[Any, ...]

#: Numbers that identify a database, not a replacement of it. Empty if not known.
Identity = tuple[int | str, ...]
Result = TypeVar("Result")


class Engine:
    """A database of some product, with an open connection per thread.

    Peewee only builds SQL text for the cursors of the driver.

    :param location: the file, or host, port and name; without a password.
    :param builder: the Peewee database that builds the SQL text and never connects.
    :param connect: opens a DB-API connection in autocommit mode.
    :param driver_errors: the driver's exception classes; they become
        :class:`StorageError`.
    """

    name: str

    #: The operator of a division of integers that rounds down.
    integer_division = "/"

    #: Whether an upsert names the columns of the unique index.
    has_conflict_targets = True

    #: Whether a table without :class:`.tables.UniqueIdField` gives the identifier of a
    #: deleted row to another one.
    reuses_ids = False

    #: Whether transactions that write to different rows run at the same time.
    has_row_locks = False

    #: Statement that begins a transaction.
    begin_statement = "BEGIN"

    #: Query that returns a row if the database has a table of the given name.
    find_table: str

    #: Statement that writes without changing anything.
    idle_write: str

    #: Whether the database is known to have the schema of this release, so that each
    #: transaction checks that it still has.
    has_schema = False

    #: The identity of the database, once it is known.
    identity: Identity = ()

    def __init__(
        self,
        location: str,
        builder: peewee.Database,
        connections: Connections,
        driver_errors: tuple[type[Exception], ...],
    ) -> None:
        self.location = location
        self.connections = connections
        self._builder = builder
        self._driver_errors = driver_errors
        self._find_version = self.compile(AboutRow.select(AboutRow.schema_version))

    def __str__(self) -> str:
        """Return a description for messages."""
        return f"{self.name} database {self.location}"

    def compile(self, query: peewee.Query, index: str = "") -> str:
        """Return the SQL text of *query*, with a placeholder for each value.

        :param index: the index to use, for products that would choose another.
        """
        text, _values = query.bind(self._builder).sql()
        return str(text)

    def compile_packed(self, query: "peewee.ModelSelect[Any]") -> str:
        """Return the SQL text of *query*, for few rows of numbers and text."""
        return self.compile(query)

    def compile_upsert(
        self, table: type[peewee.Model], keys: Sequence[str], keep: Sequence[str] = ()
    ) -> str:
        """Return the SQL text of :func:`.sql.upsert`."""
        with_target = self.has_conflict_targets
        return self.compile(sql.upsert(table, keys, keep, with_target=with_target))

    def fetch(self, text: str, values: Sequence[object] = ()) -> list[Row]:
        """Run a query and return all rows."""
        connections = self.connections
        try:
            connection = connections.thread.connection or connections.current()
            cursor = connection.cursor()
            cursor.execute(text, values)
            return list(cursor.fetchall())
        except self._driver_errors as error:
            raise self._storage_error(error) from error

    def search(self, text: str, values: Sequence[object], seconds: float) -> list[Row]:
        """Run a query that no index answers, and return all rows.

        :raises StorageError: if it takes longer than *seconds*; the database has
            stopped the query then.
        """
        raise NotImplementedError

    def execute(self, text: str, values: Sequence[object] = ()) -> int:
        """Run a statement and return the number of changed rows."""
        return int(self._run(text, values).rowcount)

    def execute_delete(self, text: str, values: Sequence[object] = ()) -> int:
        """Run a DELETE statement for any number of rows; return how many there were.

        The deletion is a part of the current transaction.
        """
        return self.execute(text, values)

    def execute_insert(self, text: str, values: Sequence[object] = ()) -> int:
        """Run an INSERT statement and return the identifier of the row."""
        return int(self._run(text, values).lastrowid or 0)

    def execute_many(self, text: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement once for each of *rows*."""
        connections = self.connections
        try:
            connection = connections.thread.connection or connections.current()
            cursor = connection.cursor()
            cursor.executemany(text, rows)
            cursor.close()
        except self._driver_errors as error:
            raise self._storage_error(error) from error

    def fetch_query(self, query: peewee.Query) -> list[Row]:
        """Compile and run a query that runs too rarely to keep its text."""
        return self.fetch(*query.bind(self._builder).sql())

    def execute_query(self, query: peewee.Query) -> int:
        """Compile and run a statement that runs too rarely to keep its text."""
        return self.execute(*query.bind(self._builder).sql())

    def delete_query(self, query: peewee.Query) -> int:
        """Compile a DELETE statement and run it like :meth:`execute_delete`."""
        return self.execute_delete(*query.bind(self._builder).sql())

    def insert(self, table: type[peewee.Model], **values: object) -> int:
        """Insert a row into *table* and return its identifier."""
        return self.execute_insert(*table.insert(values).bind(self._builder).sql())

    def transact(
        self, action: Callable[[], Result], *, consistent: bool = False
    ) -> Result:
        """Run *action* in a transaction, or as a part of the current transaction.

        The action is repeated if the database requires a new attempt.

        :param consistent: whether all reads must see the same snapshot of the data.
        """
        if self.connections.thread.in_transaction:
            return action()
        self._begin(consistent=consistent)
        self.connections.thread.in_transaction = True
        try:
            result = action()
            self._commit()
        except BaseException:
            self._rollback()
            raise
        finally:
            self.connections.thread.in_transaction = False
        return result

    def read_together(self, action: Callable[[], Result]) -> Result:
        """Run *action*, which reads only, so that its queries see the same state."""
        if self.connections.thread.in_transaction:
            return action()
        self._begin_reading()
        self.connections.thread.in_transaction = True
        try:
            return action()
        finally:
            self._rollback()
            self.connections.thread.in_transaction = False

    def relaxed(self, timeout: int) -> "Engine":
        """Return an engine for transactions that a power failure may undo.

        The two engines have different connections, so a transaction of this engine must
        not be open in the same thread.

        :param timeout: seconds to wait for other writers.
        """
        del timeout  # only SQLite has one lock for all writers
        return self

    def limit_writers(self, most: int) -> None:
        """Let *most* threads wait for locks for long; refuse further ones."""

    def create_database(self) -> None:
        """Create the database, if the product has servers with several."""

    def check_tables(self) -> None:
        """Check that the existing tables have what the stores need.

        :raises StorageError: if they have not.
        """

    def open_log(self) -> "Engine":
        """Return an engine for the table of the request log.

        A transaction of this engine does not include writes to the log. Those do not
        wait for the disk, if the product can do so.
        """
        return self

    def prepare_log(self, table: type[peewee.Model], tag: str) -> None:
        """Create the table of the request log, if this does not happen elsewhere.

        :param tag: identifies the database that the log belongs to.
        """

    def move_log(self, table: type[peewee.Model], tag: str, new_tag: str) -> None:
        """Change the database that the log belongs to from *tag* to *new_tag*.

        :param table: that of the request log.
        """

    def copy_pages(self, path: Path, report: Report) -> bool:
        """Copy the database to the empty file *path*, if it is a file itself.

        :param report: gets numbers of pages.
        :returns: whether the database is a file.
        """
        del path, report
        return False

    def is_stored_in(self, path: Path) -> bool:
        """Return whether *path* is a file of the database."""
        del path
        return False

    def exists(self) -> bool:
        """Return whether the database exists, without creating it."""
        return True

    def expect(self, identity: Identity) -> None:
        """Use only the database of *identity*, which has its schema.

        The first use opens the database. If it was removed, it is not created again.
        """
        self.identity = identity
        self.has_schema = True

    def check_location(self) -> None:
        """Check that the database is the one that was opened.

        :raises StorageError: if it was removed or replaced.
        """

    def check_journal(self) -> None:
        """Check that the log of changes is the one that all connections have.

        The connection of this thread must be open.

        :raises StorageError: if it was removed or replaced.
        """

    def check_space(self) -> None:
        """Check that there is space for more data, as far as this can be known.

        :raises StorageError: if there is none.
        """

    def check_version(self) -> None:
        """Check that no newer version of the package has upgraded the schema.

        :raises StorageError: if one has.
        """
        if not self.has_schema:
            return
        for (version,) in self.fetch(self._find_version):
            if version > SCHEMA_VERSION:
                raise self.newer_schema(version)

    def newer_schema(self, version: int) -> StorageError:
        """Return the error for a schema of a *version* that this release lacks."""
        reason = (
            "the database needs a newer version of sendgrid-bounces (its schema "
            f"version is {version}, this release supports {SCHEMA_VERSION})"
        )
        return StorageError(f"{self}: {reason}", reason=reason)

    def search_timeout(self) -> StorageError:
        """Return the error for a query that was stopped."""
        reason = "the search took too long"
        return StorageError(f"{self}: {reason}", reason=reason)

    def check_writable(self) -> None:
        """Write without changing anything; other writers may do so meanwhile.

        :raises StorageError: if the database cannot be written.
        """
        raise NotImplementedError

    def has_table(self, table: type[peewee.Model]) -> bool:
        """Return whether the database has *table*."""
        return bool(self.fetch(self.find_table, (sql.table_name(table),)))

    def create_tables(
        self, tables: Sequence[type[peewee.Model]], finish: Callable[[], None]
    ) -> None:
        """Create the missing tables and indexes, in this order, and call *finish*.

        A lock keeps other processes out. A later call completes an interrupted attempt.
        """

        def create_all() -> None:
            for table in tables:
                create, indexes = sql.create_statements(table, self._builder)
                for text in (create, *indexes):
                    self.execute(text)
            finish()

        self.transact(create_all)

    def empty_journal(self) -> None:
        """Let :meth:`close` empty the write-ahead log of SQLite."""

    def close(self) -> None:
        """Close the connections of all threads. The engine is unusable afterwards."""
        self.connections.close_all()

    def _run(self, text: str, values: Sequence[object]) -> Any:
        """Run a statement and return its cursor."""
        connections = self.connections
        try:
            connection = connections.thread.connection or connections.current()
            cursor = connection.cursor()
            cursor.execute(text, values)
        except self._driver_errors as error:
            raise self._storage_error(error) from error
        return cursor

    def _begin(self, *, consistent: bool) -> None:
        """Begin a transaction on the connection of this thread.

        :raises StorageError: if a newer version of the package upgraded the schema.
        """
        del consistent  # a transaction of SQLite always is
        self._run(self.begin_statement, ())

    def _begin_reading(self) -> None:
        """Begin a transaction that reads only."""
        self._run("BEGIN", ())

    def _commit(self) -> None:
        try:
            self.connections.thread.connection.commit()
        except self._driver_errors as error:
            raise self._storage_error(error) from error

    def _rollback(self) -> None:
        """Undo the transaction. Only the error that caused this is to be reported."""
        try:
            self.connections.thread.connection.rollback()
        except self._driver_errors:
            with suppress(*self._driver_errors):
                self.connections.discard()

    def _storage_error(self, error: Exception) -> StorageError:
        """Return *error* of the driver as a :class:`StorageError`."""
        text = str(error.args[-1]) if error.args else ""
        if not text:
            text = " ".join(map(str, (type(error).__name__, *error.args[:-1])))
        return StorageError(f"{self}: {text}", self._code(error))

    def _code(self, error: Exception) -> int | None:
        """Return the driver's number for *error*."""
        raise NotImplementedError
