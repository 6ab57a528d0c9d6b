"""An engine: what runs SQL text, whatever the database product.

An engine keeps one open connection for each thread, and turns the errors of the product
into :class:`StorageError`. What differs between products is in its subclasses; nothing
above them names one.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import peewee

from sendgrid_bounces.core.errors import StorageError

Row = tuple[Any, ...]
Result = TypeVar("Result")


class Engine:
    """A database of some product.

    :param database: Peewee's, which tracks its connections.
    :param location: where it is, without a password.
    :param errors: the classes of the driver's own errors.
    """

    name: str

    #: Whether ``(a, b) > (?, ?)`` is looked up in an index. If not, ``a >= ?`` has to
    #: say where to begin.
    searches_row_values = True

    def __init__(
        self,
        database: "TrackedDatabase",
        location: str,
        errors: tuple[type[Exception], ...],
    ) -> None:
        self.location = location
        self._database = database
        self._reporting = _Reporting(f"{self.name} database {location}", errors)

    def text(self, query: peewee.Query, index: str = "") -> str:
        """Return the SQL text of *query*, with a place for each of its values.

        :param index: the index to use, for products that would not choose it.
        """
        text, _values = query.bind(self._database).sql()
        return str(text)

    def fetch(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Run a query and return all its rows."""
        with self._reporting:
            return list(self._database.run(sql, values).fetchall())

    def change(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run a change and return how many rows it touched."""
        with self._reporting:
            return int(self._database.run(sql, values).rowcount)

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
            return int(self._database.run(text, places).lastrowid or 0)

    def transact(
        self, action: Callable[[], Result], *, consistent: bool = False
    ) -> Result:
        """Do *action* as one act: all of it is stored, or nothing.

        Inside another act it becomes part of that one. It may be done again from its
        beginning, if the database asks for that.

        :param consistent: whether all that is read must be of the same moment.
        """
        with self.transaction(consistent=consistent):
            return action()

    def transact_relaxed(self, action: Callable[[], Result], patience: int) -> Result:
        """Do *action* as one act that may be lost if the power fails.

        It waits no longer than *patience* seconds for others.
        """
        del patience  # rows, not databases, are waited for
        return self.transact(action)

    @contextmanager
    def transaction(self, *, consistent: bool = False) -> Iterator[None]:
        """Make what is done inside one transaction."""
        begin = self._begin(consistent=consistent)
        with self._reporting, self._database.transaction(*begin):
            yield

    def exists(self) -> bool:
        """Return whether there is a database, without making one."""
        return True

    def has_table(self, table: type[peewee.Model]) -> bool:
        """Return whether *table* is there."""
        with self._reporting:
            return bool(self._database.table_exists(table))

    def create_tables(
        self, tables: Sequence[type[peewee.Model]], finish: Callable[[], None]
    ) -> None:
        """Create the tables that do not exist yet, in this order, and call *finish*.

        One process does it at a time; what one was stopped in, the next one does.
        """
        with self.transaction():
            for table in tables:
                self._create_table(table)
            finish()

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
        return self.text(query.on_conflict(**self._conflict(target, changed)))

    def close(self) -> None:
        """Close the connections of all threads. Nothing may follow."""
        self._database.close_all()

    def _create_table(self, table: type[peewee.Model]) -> None:
        with self._reporting:
            peewee.SchemaManager(table, self._database).create_all(safe=True)

    def _begin(self, *, consistent: bool) -> tuple[str, ...]:
        """Return what is said when a transaction begins."""
        raise NotImplementedError

    def _conflict(
        self, target: list[peewee.Field], changed: list[peewee.Field]
    ) -> dict[str, Any]:
        """Return how Peewee is told what an upsert does to a row that is there."""
        return {"conflict_target": target, "preserve": changed}


class _Reporting:
    """Turns the errors of Peewee and a driver into :class:`StorageError`."""

    def __init__(self, place: str, errors: tuple[type[Exception], ...]) -> None:
        self._place = place
        self._errors: tuple[type[Exception], ...] = (peewee.PeeweeException, *errors)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is not None and isinstance(error, self._errors):
            before = error.__context__  # a rollback can fail, too
            cause = before if isinstance(before, self._errors) else error
            words = _words(cause)
            raise StorageError(f"{self._place}: {words}") from error


def _words(error: BaseException) -> str:
    """Return what *error* says; MySQL's say a number first."""
    return str(error.args[-1] if error.args else error)


class TrackedDatabase(peewee.Database):
    """Mixed into one of Peewee's: it knows all threads' connections, to close them.

    Those of threads that have ended are closed when another one connects: some WSGI
    servers make a thread for each request.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._connections: dict[threading.Thread, Any] = {}
        self._connections_lock = threading.Lock()
        super().__init__(*arguments, **options)

    def run(self, sql: str, values: Sequence[object]) -> Any:
        """Return the cursor of *sql*; nothing but the driver is in between."""
        cursor = self.connection().cursor()  # type: ignore[no-untyped-call] # in its stubs
        cursor.execute(sql, values)
        return cursor

    def run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run *sql* for each of *rows*, as the driver does it best."""
        connection = self.connection()  # type: ignore[no-untyped-call] # in its stubs
        cursor = connection.cursor()
        cursor.executemany(sql, rows)
        cursor.close()

    def _connect(self) -> Any:
        connection = super()._connect()  # type: ignore[misc] # not in its stubs
        with self._connections_lock:
            for thread in [t for t in self._connections if not t.is_alive()]:
                self._connections.pop(thread).close()
            self._connections[threading.current_thread()] = connection
        return connection

    def forget(self) -> None:
        """Close this thread's connection, which may be broken; the next is new."""
        connection = self._state.conn  # type: ignore[attr-defined] # not in its stubs
        self.dispose()
        with self._connections_lock:
            self._connections.pop(threading.current_thread(), None)
        if connection is not None:
            connection.close()

    def close_all(self) -> None:
        """Close the connections of all threads."""
        with self._connections_lock:
            while self._connections:
                self._connections.popitem()[1].close()
