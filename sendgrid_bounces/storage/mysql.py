"""MariaDB and MySQL: a local or remote server, or a node of a Galera cluster."""

import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote

import peewee

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.hosts import is_loopback
from sendgrid_bounces.storage import sql
from sendgrid_bounces.storage.connections import ConnectionPool
from sendgrid_bounces.storage.engine import Engine, Result, Row
from sendgrid_bounces.storage.rows import chunks
from sendgrid_bounces.storage.tables import TABLES, RequestRow
from sendgrid_bounces.storage.writers import Transactions

if TYPE_CHECKING:
    import ssl

#: Seconds to wait for a connection, for the answer to a read, and for the answer to a
#: write.
CONNECT_TIMEOUT, READ_TIMEOUT, WRITE_TIMEOUT = 5, 5, 60

#: Seconds after which the server stops a query; less than READ_TIMEOUT.
QUERY_TIMEOUT = 4.5

#: How many rows are found and deleted at once. Each time, the server has to pass the
#: rows that the transaction has deleted before.
DELETED_ROWS = 100_000

#: The statements for that.
FIND = "SELECT `id` FROM {0} WHERE {1} LIMIT {2}"
DELETE_FOUND = "DELETE {0} FROM {0} FORCE INDEX (PRIMARY) WHERE `id` IN ({1}) AND {2}"
DELETE_ANY = "DELETE FROM {0} LIMIT {1}"

#: Seconds that a process waits while another process creates the tables; less than
#: QUERY_TIMEOUT.
LOCK_TIMEOUT = 4

#: Attempts at a conflicting transaction, and the longest pause before the second
#: attempt in seconds, which doubles each time, but not beyond another pause.
ATTEMPTS, PAUSE, MAX_PAUSE = 16, 0.01, 0.5

#: Error codes of conflicts: a deadlock, which Galera also reports if another node
#: changed a row first; a record changed since the last read; and a duplicate key,
#: which is visible to the next attempt.
CONFLICTS = {1213, 1020, 1062}

#: Error codes that concern one request: conflicts, values that do not fit, and rows
#: that a reset has removed meanwhile.
HARMLESS = {*CONFLICTS, 1264, 1366, 1406, 1451, 1452}

#: Error code: the index exists already.
DUPLICATE_KEY_NAME = 1061

#: Error code: the server has no such database.
UNKNOWN_DATABASE = 1049

#: Error codes: the server, or the user, has as many connections as it may have.
FULL = {1040, 1203, 1226}

#: Error codes of a lost connection.
LOST = {0, 2002, 2003, 2006, 2013, 2055}

#: Error codes: the server has stopped a query after the time that it had.
STOPPED = {1969, 3024}

#: The form of a query that the server stops after some milliseconds.
LIMITED = {
    "mariadb": "SET STATEMENT max_statement_time = {0} / 1000 FOR SELECT{1}",
    "mysql": "SELECT /*+ MAX_EXECUTION_TIME({0}) */{1}",
}

#: The beginning of a query from :meth:`MySQLEngine.compile_packed`.
PACKED = "SELECT JSON_ARRAY("

#: Binary collations without padding, so that letter case and trailing blanks
#: distinguish keys as in Python.
COLLATIONS = {"mariadb": "utf8mb4_nopad_bin", "mysql": "utf8mb4_0900_bin"}

#: Storage engines that do not write each change to the disk before the statement ends.
#: Their locks last for a statement, so they take no part in a deadlock.
RELAXED_ENGINES = {"mariadb": "Aria TRANSACTIONAL=0", "mysql": "MyISAM"}

#: The end of the message of a transaction for which other transactions leave no thread.
BUSY = "too many transactions wait for locks"

#: The statement before a transaction whose reads see the same state.
REPEATABLE_READ = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"

#: The table of the request log, and all other tables.
LOG_TABLE = sql.table_name(RequestRow)
TRANSACTIONAL = {*map(sql.table_name, TABLES)} - {LOG_TABLE}

#: The query of the storage engine of each table.
FIND_ENGINES = (
    "SELECT table_name, engine FROM information_schema.tables "
    "WHERE table_schema = DATABASE()"
)

#: Statements that make sessions alike on all servers, which have defaults for them.
SESSION = (
    (
        "SET SESSION autocommit = 1, completion_type = 'NO_CHAIN', "
        f"foreign_key_checks = 1, sql_safe_updates = 0, sql_select_limit = {2**64 - 1},"
        " sql_big_selects = 1, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
    ),
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)


class MySQLEngine(Engine):
    """MariaDB or MySQL.

    A read is repeated once after the connection was lost. A write is not, because the
    first attempt may have succeeded.

    :param options: the arguments of the driver's ``connect()``.
    """

    name = "mysql"
    has_row_locks = True
    has_conflict_targets = False
    integer_division = "div"  # Peewee replaces "DIV" by "/"
    # This finds no row, so it does not wait for a transaction that has locked the row.
    idle_write = "UPDATE about SET schema_version = 0 WHERE schema_version = 0"
    find_table = (
        "SELECT 1 FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_name = %s"
    )

    def __init__(
        self, options: dict[str, Any], driver_errors: tuple[type[Exception], ...]
    ) -> None:
        self._options = options
        self._transactions = Transactions(harmless=HARMLESS)
        self._pool = ConnectionPool(self._connect, lambda e: self._code(e) in FULL)
        field_types = {"TEXT": "MEDIUMTEXT", "BLOB": "MEDIUMBLOB"}
        super().__init__(
            "{host}:{port}/{database}".format(**options),
            peewee.MySQLDatabase(None, field_types=field_types),
            self._pool,
            driver_errors,
        )

    def create_database(self) -> None:
        """Create the database on the server, unless it exists."""
        name = self._options["database"].replace("`", "``")
        options = {**self._options, "database": None}
        try:
            with self._driver_connect(options) as connection:
                connection.cursor().execute(
                    f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4"
                )
        except self._driver_errors as error:
            raise self._storage_error(error) from error

    def compile(self, query: peewee.Query, index: str = "") -> str:
        """Return the SQL text of *query*, which forces the use of *index*, if any.

        Otherwise the server would sort a million rows to find the first.
        """
        text = super().compile(query)
        if not index:
            return text
        table, rest = text.split(" WHERE ", 1)
        return f"{table} FORCE INDEX (`{index}`) WHERE {rest}"

    def compile_packed(self, query: "peewee.ModelSelect[Any]") -> str:
        """Return the SQL text of *query* with each row as one column, a JSON array.

        The driver takes longer to read the description of a column than to read a row.
        """
        row = peewee.fn.JSON_ARRAY(*query.selected_columns)
        return self.compile(query.select(row))

    def fetch(self, text: str, values: Sequence[object] = ()) -> list[Row]:
        """Run a query and return all rows."""
        rows = self._fetch(text, values, QUERY_TIMEOUT)
        if text.startswith(PACKED):
            return [tuple(json.loads(row)) for (row,) in rows]
        return rows

    def search(self, text: str, values: Sequence[object], seconds: float) -> list[Row]:
        """Run a query that no index answers, and return all rows."""
        try:
            return self._fetch(text, values, seconds)
        except StorageError as error:
            if error.code in STOPPED:
                raise self.search_timeout() from error
            raise

    def _fetch(self, text: str, values: Sequence[object], seconds: float) -> list[Row]:
        """Run a query, again if the connection was lost before it."""
        started = time.monotonic()
        with self._pool:
            try:
                return self._fetch_once(text, values, seconds)
            except StorageError as error:
                if error.code not in LOST or self._pool.thread.in_transaction:
                    raise
                self._pool.discard()
                if time.monotonic() - started >= READ_TIMEOUT:  # another is likely
                    raise
                return self._fetch_once(text, values, seconds)

    def _fetch_once(
        self, text: str, values: Sequence[object], seconds: float
    ) -> list[Row]:
        """Run a query, which the server stops after *seconds*.

        Otherwise the query would go on when the client no longer waits. The queries of
        a transaction that writes may wait for locks, for longer.
        """
        if text.startswith("SELECT") and not self._pool.thread.is_writing:
            try:
                self._pool.current()  # finds out the product
            except self._driver_errors as error:
                raise self._storage_error(error) from error
            query = text.removeprefix("SELECT")
            text = LIMITED[self._product].format(int(1000 * seconds), query)
        return super().fetch(text, values)

    def transact(
        self, action: Callable[[], Result], *, consistent: bool = False
    ) -> Result:
        """Run *action* in a transaction, or as a part of the current transaction."""
        if self._pool.thread.in_transaction:
            return action()
        with self._transactions.place() as is_free:
            if not is_free:
                raise StorageError(f"{self}: {BUSY}")
            run = partial(self._transact_once, action, consistent=consistent)
            with self._pool:
                return _repeat(run)

    def read_together(self, action: Callable[[], Result]) -> Result:
        """Run *action*, which reads only, so that its queries see the same state."""
        with self._pool:
            return super().read_together(action)

    def execute_many(self, text: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement once for each of *rows*."""
        with self._pool:
            super().execute_many(text, rows)

    def execute_delete(self, text: str, values: Sequence[object] = ()) -> int:
        """Run a DELETE statement in parts, of which each has :data:`WRITE_TIMEOUT`.

        Rows that meet a condition are found first, without locks. The statement itself
        may read the whole table, and wait for locked rows of other lists.
        """
        head, _, condition = text.partition(" WHERE ")
        source = head.removeprefix("DELETE FROM ")  # with the index, if any
        table, deleted = source.partition(" ")[0], 0
        while True:
            if condition:
                find = FIND.format(source, condition, DELETED_ROWS)
                found = [id_ for (id_,) in self.fetch(find, values)]
                number = len(found)
                for ids in chunks(found):
                    marks = ", ".join(["%s"] * len(ids))
                    delete = DELETE_FOUND.format(table, marks, condition)
                    deleted += self.execute(delete, [*ids, *values])
            else:
                number = self.execute(DELETE_ANY.format(table, DELETED_ROWS))
                deleted += number
            if number < DELETED_ROWS:
                return deleted

    def limit_writers(self, most: int) -> None:
        """Run at most *most* transactions at the same time."""
        self._transactions = Transactions(most, harmless=HARMLESS)

    def check_writable(self) -> None:
        """Write without changing anything, and check that clients can write.

        The write shows that the server accepts writes, but not that each table does. It
        does not count as a transaction, and has less time.
        """
        with self._pool:
            try:
                self.execute(self.idle_write)
            except StorageError as error:
                if error.code in LOST:
                    self._pool.discard()
                raise
        self._transactions.failures.check()

    def create_tables(
        self, tables: Sequence[type[peewee.Model]], finish: Callable[[], None]
    ) -> None:
        """Create the missing tables and indexes, in this order, and call *finish*.

        A named lock replaces the transaction, which would end with each statement.
        """
        lock = "SELECT GET_LOCK(DATABASE(), %s)"
        with self._pool:  # the lock is that of a connection
            if self.fetch(lock, [LOCK_TIMEOUT]) != [(1,)]:
                reason = "is locked by another process that creates it"
                raise StorageError(f"{self} {reason}")
            try:
                for table in tables:
                    self._create_table(table)
                finish()
            finally:
                self.fetch("SELECT RELEASE_LOCK(DATABASE())")

    def _transact_once(
        self, action: Callable[[], Result], *, consistent: bool
    ) -> Result:
        try:
            return super().transact(action, consistent=consistent)
        except StorageError as error:
            if error.code in LOST:
                self._pool.discard()
            raise
        finally:
            self._set_writing(is_writing=False)

    def _create_table(self, table: type[peewee.Model]) -> None:
        """Create *table* in one statement, and its indexes."""
        product = self._product
        create, indexes = sql.create_statements(table, self._builder)
        create += f" DEFAULT CHARACTER SET utf8mb4 COLLATE {COLLATIONS[product]}"
        if table is RequestRow and not self._is_cluster_node():
            with suppress(StorageError):  # the server may refuse the engine
                self.execute(f"{create} ENGINE={RELAXED_ENGINES[product]}")
        self.execute(f"{create} ENGINE=InnoDB")  # the server's default may be another
        for text in indexes:
            try:
                self.execute(text)
            except StorageError as error:
                if error.code != DUPLICATE_KEY_NAME:
                    raise

    def check_tables(self) -> None:
        """Check that the tables have transactions; the request log needs none."""
        for table, name in self.fetch(FIND_ENGINES):
            if name != "InnoDB" and table in TRANSACTIONAL:
                raise StorageError(
                    f"{self}: the table {table} has no transactions (run ALTER TABLE "
                    f"{table} ENGINE=InnoDB for each table but {LOG_TABLE})"
                )

    def _is_cluster_node(self) -> bool:
        """Return whether the server is a node of a Galera cluster."""
        found = self.fetch("SHOW VARIABLES LIKE 'wsrep_on'")
        return found == [("wsrep_on", "ON")]

    def _run(self, text: str, values: Sequence[object]) -> Any:
        """Run a statement, repeatedly if there is a conflict with a transaction."""
        run = partial(super()._run, text, values)
        with self._pool:
            return run() if self._pool.thread.in_transaction else _repeat(run)

    def _begin(self, *, consistent: bool) -> None:
        """Begin a transaction on a connection that works.

        The query of the version is repeated if the connection was lost; a statement of
        the transaction could not be repeated.
        """
        self.check_version()
        if consistent:
            self._run(REPEATABLE_READ, ())
        super()._begin(consistent=consistent)
        self._set_writing(is_writing=True)

    def _begin_reading(self) -> None:
        """Begin a transaction that reads only, on a connection that works."""
        try:
            self._run(REPEATABLE_READ, ())
        except StorageError as error:
            if error.code not in LOST:
                raise
            self._pool.discard()
            self._run(REPEATABLE_READ, ())
        self._run("START TRANSACTION READ ONLY", ())

    def _set_writing(self, *, is_writing: bool) -> None:
        """Set how long this thread waits for the answers on its connection, if any."""
        self._pool.thread.is_writing = is_writing
        connection = self._pool.thread.connection
        if connection is not None:
            seconds = WRITE_TIMEOUT if is_writing else READ_TIMEOUT
            connection._read_timeout = seconds  # noqa: SLF001 - no setter

    def _driver_connect(self, options: dict[str, Any]) -> Any:
        import pymysql

        return pymysql.connect(**options)

    def _connect(self) -> Any:
        connection = self._driver_connect(self._options)
        is_mariadb = "mariadb" in connection.get_server_info().lower()
        self._product = "mariadb" if is_mariadb else "mysql"
        try:
            with connection.cursor() as cursor:
                for statement in SESSION:
                    cursor.execute(statement)
                cursor.execute("SHOW VARIABLES LIKE 'wsrep_on'")
                if cursor.fetchall() == (("wsrep_on", "ON"),):
                    # Otherwise a read may miss a write acknowledged by another node.
                    cursor.execute("SET SESSION wsrep_sync_wait = 1")
        except BaseException:
            connection.close()
            raise
        return connection

    def _storage_error(self, error: Exception) -> StorageError:
        """Return *error* of the driver, with advice if there is no such database."""
        result = super()._storage_error(error)
        if result.code != UNKNOWN_DATABASE:
            return result
        advice = "create it with sendgrid-bounces init-db --create"
        return StorageError(f"{result} ({advice})", result.code)

    def _code(self, error: Exception) -> int | None:
        code = error.args[0] if error.args else None
        return code if isinstance(code, int) else None


def _repeat(action: Callable[[], Result]) -> Result:
    """Run *action*, again after a deadlock or conflict, at most ATTEMPTS times."""
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except StorageError as error:
            if error.code not in CONFLICTS:
                raise
            last = error
        time.sleep(random.uniform(0, min(PAUSE * 2**attempt, MAX_PAUSE)))  # noqa: S311 - no secret
    raise last


def open_mysql(url: SplitResult) -> MySQLEngine:
    """Return the engine for *url*, which connects on its first use.

    :raises StorageError: if the URL is invalid or the driver is not installed.
    """
    try:
        port = url.port or 3306
    except ValueError:
        port = 0
    name = unquote(url.path[1:])
    is_split = not url.hostname or not port or {*"/@"} & {*name}
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    ssl_ca = options.pop("ssl_ca", None)
    if is_split or not name or options or ssl_ca == "" or url.fragment:
        raise StorageError(
            "a MySQL URL is mysql://USER:PASSWORD@HOST:3306/NAME, "
            "with special characters encoded, such as / in a password as %2F, "
            "and accepts one option: ssl_ca=FILE"
        )
    try:
        import pymysql  # an extra of the package
    except ImportError:
        raise StorageError(
            "a MySQL database needs a driver: pip install 'PyMySQL[rsa]'"
        ) from None
    arguments = {
        "host": url.hostname,
        "port": port,
        "user": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        "database": name,
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
        "write_timeout": WRITE_TIMEOUT,
        # With a context, TLS is required and verified. Otherwise it is used if the
        # server offers it, but not on this machine, where it would take most of the
        # time to connect.
        "ssl": None if ssl_ca is None else _create_context(ssl_ca),
        "ssl_disabled": ssl_ca is None and is_loopback(str(url.hostname)),
    }
    return MySQLEngine(arguments, (pymysql.MySQLError, OSError))


def _create_context(file: str) -> "ssl.SSLContext":
    """Return a context that verifies certificates and host names.

    :param file: the trusted certificates (PEM).
    :raises StorageError: if they cannot be read.
    """
    import ssl  # the driver loads it, too

    try:
        context = ssl.create_default_context(cafile=file)
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise StorageError(
            f"cannot read the certificates in {file!r}: {problem}"
        ) from None
    # The authorities that servers create for themselves are not strictly valid.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
