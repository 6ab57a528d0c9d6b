"""The request log in a database: the last requests, in a ring of limited size."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from operator import attrgetter
from time import monotonic
from typing import Any

import peewee

from sendgrid_bounces.core.errors import StorageError, UnknownNameError
from sendgrid_bounces.core.requests import LoggedRequest, RequestFilter, status_range
from sendgrid_bounces.storage import sql
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.tables import RequestRow

#: The size of the ring if none is given.
DEFAULT_SIZE = 1_000

#: Entries that are read at once from all.
BATCH_SIZE = 100

#: Most new entries of a process between two removals of old entries.
MAX_TRIM_STEP = 100

COLUMNS = sql.columns_like(RequestRow, LoggedRequest)
COLUMN = sql.columns(RequestRow)

#: The values of an entry in the order of the columns, except the identifier.
_values = attrgetter(*(field.name for field in fields(LoggedRequest)[1:]))
_PARAMETERS = [field.name for field in fields(LoggedRequest)[1:]].index("parameters")

#: The condition of each filter on entries.
REQUEST_CONDITIONS: Mapping[str, Callable[[Any], Any]] = {
    "account": lambda value: COLUMN["account"] == value,
    "domain": lambda value: COLUMN["domain"] == value.lower(),
    "operation": lambda value: COLUMN["operation"] == value,
    "status": lambda value: COLUMN["status"].between(*status_range(value)),
    "since": lambda value: COLUMN["emulated_time"] >= value,
    "dialect": lambda value: (
        (COLUMN["dialect"] == value) | COLUMN["dialect"].startswith(f"{value}.")
    ),
    "after": lambda value: COLUMN["id"] > value,
}


#: Seconds that a failed attempt to log a request may take without a pause after it.
#: The pause is ``PAUSE`` times as long as the attempt, and ``MAX_PAUSE`` seconds at
#: most: the processes of a server make attempts in turn, and a request waits for each.
PATIENCE, PAUSE, MAX_PAUSE = 0.5, 10, 30


class RequestStore:
    """The entries of the request log.

    An entry is one statement, which all processes on the database see at once.
    Transactions on the database do not include the log.

    :param read_tag: returns a text that identifies the database of the log.
    :param size: the maximum number of entries; 0 for no log.
    """

    _insert = Compiled(
        lambda engine: engine.compile(sql.insert(RequestRow, COLUMNS[1:]))
    )
    _last_surplus = Compiled(
        lambda engine: engine.compile(_ranked(COLUMN["id"], RequestRow, 1))
    )
    _trim = Compiled(
        lambda engine: engine.compile(RequestRow.delete().where(COLUMN["id"] <= 0))
    )

    def __init__(
        self, engine: Engine, read_tag: Callable[[], str], size: int = DEFAULT_SIZE
    ) -> None:
        self.size = size
        #: The number of requests that this process could not log.
        self.failures = 0
        #: Whether the last request of this process could not be logged.
        self.is_degraded = False
        self._engine = engine.open_log()
        self._read_tag = read_tag
        self._is_prepared = False
        self._preparing, self._retrying = threading.Lock(), threading.Lock()
        self._retry_at = 0.0
        self._trim_step = max(min(size // 10, MAX_TRIM_STEP), 1)
        self._numbers = itertools.count()

    def add(self, entry: LoggedRequest) -> int:
        """Append *entry* and return its identifier; the identifier it has is ignored.

        After a failure, one thread at a time tries, since the attempt may have to wait.
        A long pause follows an attempt of more than ``PATIENCE`` seconds.

        :raises StorageError: if it cannot be stored. The failure is counted.
        """
        is_retry = self.is_degraded
        if is_retry and not self._may_retry():
            self.failures += 1
            raise StorageError(f"{self._engine}: the last request was not logged")
        began = monotonic()
        try:
            if not self._is_prepared:
                self._prepare()
            values = [*_values(entry)]
            values[_PARAMETERS] = json.dumps(entry.parameters, ensure_ascii=False)
            id_ = self._engine.execute_insert(self._insert, values)
            if not next(self._numbers) % self._trim_step:
                self._engine.check_location()
                self._remove_surplus()
        except StorageError:
            self.failures += 1
            self.is_degraded = True
            ended = monotonic()
            if ended - began > PATIENCE:
                self._retry_at = ended + min(PAUSE * (ended - began), MAX_PAUSE)
            raise
        finally:
            if is_retry:
                self._retrying.release()
        self.is_degraded = False
        return id_

    def _may_retry(self) -> bool:
        """Lock other attempts after a failure, unless one waits or has just failed."""
        return monotonic() >= self._retry_at and self._retrying.acquire(blocking=False)

    def is_stored(self) -> bool:
        """Return whether the log is still where this process writes to it."""
        try:
            self._engine.check_location()
        except StorageError:
            return False
        return True

    def complete(self, id_: int, **values: object) -> None:
        """Change fields of the entry *id_*, if it still exists."""
        query = RequestRow.update(values).where(COLUMN["id"] == id_)
        self._engine.execute_query(query)

    def find(self, wanted: RequestFilter, limit: int) -> list[LoggedRequest]:
        """Return the last *limit* entries that match, oldest first.

        With ``after``, return the first *limit* entries instead.
        """
        is_forward = wanted.after is not None
        key = COLUMN["id"]
        query = self._where(RequestRow.select(*COLUMNS), wanted).limit(limit)
        rows = self._fetch(query.order_by(key if is_forward else key.desc()))
        return [_entry(row) for row in (rows if is_forward else reversed(rows))]

    def walk(self, wanted: RequestFilter) -> Iterator[LoggedRequest]:
        """Yield all entries that match, oldest first, a few at a time."""
        last = wanted.after or 0
        while found := self.find(replace(wanted, after=last), BATCH_SIZE):
            yield from found
            last = found[-1].id

    def get(self, id_: int) -> LoggedRequest:
        """Return the entry *id_*.

        :raises UnknownNameError: if there is no such entry, or it was removed.
        """
        for row in self._fetch(RequestRow.select(*COLUMNS).where(COLUMN["id"] == id_)):
            return _entry(row)
        raise UnknownNameError("request", str(id_))

    def count(self, wanted: RequestFilter) -> int:
        """Return the number of entries that match."""
        query = self._where(RequestRow.select(sql.COUNT_ALL), wanted)
        return int(self._fetch(query)[0][0])

    def remove_owned(self, *, account: str = "", domain: str = "") -> None:
        """Remove the entries of *account* and of *domain*, if given.

        :param domain: its name in lower case.
        """
        for name, value in (("account", account), ("domain", domain)):
            if value:
                self._execute(RequestRow.delete().where(COLUMN[name] == value))

    def clear(self) -> int:
        """Remove all entries; return how many there were."""
        removed = self.count(RequestFilter())
        self._execute(RequestRow.delete())
        return removed

    def move(self, tag: str) -> None:
        """Keep the log when *tag* is about to identify the database."""
        self._engine.move_log(RequestRow, self._read_tag(), tag)

    def _where(self, query: Any, wanted: RequestFilter) -> Any:
        """Return *query* limited to the entries in the ring that match *wanted*.

        Trimming is late, so the table has some more entries.
        """
        others = RequestRow.alias()
        last_surplus = _ranked(others.id, others, self.size)
        query = query.where(COLUMN["id"] > peewee.fn.COALESCE(last_surplus, 0))
        for name, value in asdict(wanted).items():
            if value is not None:
                query = query.where(REQUEST_CONDITIONS[name](value))
        return query

    def _remove_surplus(self) -> None:
        """Remove the oldest entries.

        Identifiers have gaps: each node of a cluster has its own series.
        """
        for row in self._engine.fetch(self._last_surplus, (1, self.size)):
            self._engine.execute(self._trim, row)

    def _fetch(self, query: peewee.Query) -> list[tuple[Any, ...]]:
        self._prepare()
        return self._engine.fetch_query(query)

    def _execute(self, query: peewee.Query) -> int:
        self._prepare()
        return self._engine.execute_query(query)

    def _prepare(self) -> None:
        """Create the log before its first use: many databases never have one."""
        with self._preparing:
            if not self._is_prepared:
                self._engine.prepare_log(RequestRow, self._read_tag())
                self._is_prepared = True


def _ranked(key: Any, table: Any, rank: int) -> Any:
    """Return the query of the identifier with *rank* newer identifiers."""
    return table.select(key).order_by(key.desc()).limit(1).offset(rank)


def _entry(row: Sequence[Any]) -> LoggedRequest:
    entry = LoggedRequest(*row)
    return replace(entry, parameters=json.loads(str(entry.parameters)))
