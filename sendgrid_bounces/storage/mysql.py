"""MariaDB and MySQL, on this machine or another, alone or in a Galera cluster."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, unquote

import peewee

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.storage.engine import Engine, Result, Row, TrackedDatabase

#: Seconds that a server may take to accept a connection, to answer a read, and to do a
#: write: a deletion of a million rows is one statement.
CONNECT_TIMEOUT, READ_TIMEOUT, WRITE_TIMEOUT = 5, 5, 60

#: Seconds that one process waits for another to create the tables: less than a read
#: may take.
LOCK_TIMEOUT = 4

#: How often a transaction is done that others' transactions made impossible, and the
#: longest pause before it is done again, in seconds; each further one is twice as long.
ATTEMPTS, PAUSE = 8, 0.01

#: Deadlock, which is also what a Galera node says of a row that another node changed
#: first; "record has changed since last read"; and a name that another transaction has
#: taken since this one has looked for it, and which it will see the next time.
CONFLICTS = {1213, 1020, 1062}

#: The index is there already.
DUPLICATE_KEY_NAME = 1061

#: The server has gone, or went while it answered.
LOST = {0, 2002, 2003, 2006, 2013, 2055}

LOOPBACK = {"127.0.0.1", "localhost", "::1"}

#: Binary collations that do not pad: addresses that differ in letter case or in blanks
#: at their end are different keys, as in Python.
COLLATIONS = {"mariadb": "utf8mb4_nopad_bin", "mysql": "utf8mb4_0900_bin"}


class MySQLEngine(Engine):
    """MariaDB or MySQL.

    A read on a connection that was lost is done once more. A write is not: it may have
    happened.
    """

    name = "mysql"
    _database: "_Database"
    searches_row_values = False

    def __init__(self, url: SplitResult) -> None:
        try:
            port = url.port or 3306
        except ValueError:
            port = 0
        name = unquote(url.path[1:])
        is_split = not url.hostname or not port or {*"/@"} & {*name}
        if is_split or not name or url.query or url.fragment:
            raise StorageError(
                "a MySQL URL is mysql://USER:PASSWORD@HOST:3306/NAME, "
                "special characters in its parts encoded: / in a password is %2F"
            )
        try:
            import pymysql  # an extra of the package
        except ImportError:
            raise StorageError(
                "a MySQL database needs a driver: pip install 'sendgrid-bounces[mysql]'"
            ) from None
        options: dict[str, Any] = {}
        if url.hostname in LOOPBACK:  # TLS costs more than all the rest of connecting
            options["ssl_disabled"] = True
        database = _Database(
            name,
            host=url.hostname,
            port=port,
            user=unquote(url.username or ""),
            password=unquote(url.password or ""),
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            write_timeout=WRITE_TIMEOUT,
            field_types={"TEXT": "MEDIUMTEXT", "BLOB": "MEDIUMBLOB"},
            **options,
        )
        location = f"{url.hostname}:{port}/{name}"
        super().__init__(database, location, (pymysql.MySQLError, OSError))

    def text(self, query: peewee.Query, index: str = "") -> str:
        """Return the SQL text of *query*; it begins with the index, if one is named.

        Without it the server sorts a million rows to find the first of them.
        """
        text = super().text(query)
        if not index:
            return text
        table, rest = text.split(" WHERE ", 1)
        return f"{table} FORCE INDEX (`{index}`) WHERE {rest}"

    def fetch(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Run a query and return all its rows."""
        try:
            return super().fetch(sql, values)
        except StorageError as error:
            if _number(error) not in LOST or self._database.in_transaction():
                raise
            self._database.forget()
            if _timed_out(error):  # and would do so again
                raise
            return super().fetch(sql, values)

    def transact(
        self, action: Callable[[], Result], *, consistent: bool = False
    ) -> Result:
        """Do *action* as one act, and again if it met another one."""
        if self._database.in_transaction():
            return action()
        for attempt in range(ATTEMPTS):
            try:
                return super().transact(action, consistent=consistent)
            except StorageError as error:
                if _number(error) not in CONFLICTS:
                    raise
                last = error
            time.sleep(random.uniform(0, PAUSE * 2**attempt))  # noqa: S311 - a pause
        raise last

    @contextmanager
    def transaction(self, *, consistent: bool = False) -> Iterator[None]:
        """Make what is done inside one transaction, on a connection that lives."""
        if self._database.in_transaction():
            yield
            return
        with self._reporting:
            self._database.revive()
        try:
            self._database.allow(WRITE_TIMEOUT)
            with super().transaction(consistent=consistent):
                yield
        except StorageError as error:
            if _number(error) in LOST:
                self._database.forget()
            raise
        finally:
            self._database.allow(READ_TIMEOUT)

    def create_tables(
        self, tables: Sequence[type[peewee.Model]], finish: Callable[[], None]
    ) -> None:
        """Create the tables that do not exist yet, in this order, and call *finish*.

        There is no transaction that could hold it: a lock does.
        """
        ((version,),) = self.fetch("SELECT VERSION()")
        product = "mariadb" if "mariadb" in str(version).lower() else "mysql"
        change = f"CONVERT TO CHARACTER SET utf8mb4 COLLATE {COLLATIONS[product]}"
        ((is_locked,),) = self.fetch("SELECT GET_LOCK(DATABASE(), %s)", [LOCK_TIMEOUT])
        if not is_locked:
            raise StorageError(f"{self.name} database {self.location} is locked")
        try:
            for table in tables:
                self._create_table(table)
                name = table._meta.table_name  # noqa: SLF001 - where peewee keeps it
                self.change(f"ALTER TABLE `{name}` {change}")
            finish()
        finally:
            self.fetch("SELECT RELEASE_LOCK(DATABASE())")

    def _begin(self, *, consistent: bool) -> tuple[str, ...]:
        return ("REPEATABLE READ",) if consistent else ()

    def _create_table(self, table: type[peewee.Model]) -> None:
        """Create *table* and those of its indexes that are not there yet."""
        with self._reporting:
            peewee.SchemaManager(table, self._database).create_table(safe=True)
        for index in table._meta.fields_to_index():  # noqa: SLF001 - where they are
            try:
                with self._reporting:
                    self._database.execute(index.safe(_safe=False))  # type: ignore[no-untyped-call] # in its stubs
            except StorageError as error:
                if _number(error) != DUPLICATE_KEY_NAME:
                    raise

    def _conflict(
        self, target: list[peewee.Field], changed: list[peewee.Field]
    ) -> dict[str, Any]:
        return {"preserve": changed}


class _Database(TrackedDatabase, peewee.MySQLDatabase):
    """Peewee's MySQL, with sessions that are alike on every server."""

    def _initialize_connection(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
            )
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute("SHOW VARIABLES LIKE 'wsrep_on'")
            if cursor.fetchall() == (("wsrep_on", "ON"),):
                # Else a read can miss what another node has just acknowledged.
                cursor.execute("SET SESSION wsrep_sync_wait = 1")

    def revive(self) -> None:
        """Make sure that this thread's connection lives: nothing is lost by asking."""
        if not self.is_closed() and not self.is_connection_usable():
            self.forget()
        self.connection()  # type: ignore[no-untyped-call] # in its stubs

    def allow(self, seconds: int) -> None:
        """Let this thread's connection wait *seconds* for an answer."""
        if not self.is_closed():
            connection = self.connection()  # type: ignore[no-untyped-call] # in its stubs
            connection._read_timeout = seconds  # noqa: SLF001 - it has no setter


def _number(error: StorageError) -> int:
    """Return the number that the server or driver gives to what *error* reports."""
    for cause in _causes(error):
        if cause.args and isinstance(cause.args[0], int):
            return cause.args[0]
    return -1


def _timed_out(error: StorageError) -> bool:
    return any(isinstance(cause, TimeoutError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__context__
