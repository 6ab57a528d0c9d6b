"""The request log in a database: the last requests, in a ring of limited size."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sendgrid_bounces.core.requests import LoggedRequest, RequestFilter
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.sql import COUNT_ALL, columns_like, insert
from sendgrid_bounces.storage.tables import RequestRow

#: Seconds that an entry waits for other writers before being dropped.
LOG_TIMEOUT = 5

REQUEST_COLUMNS = columns_like(RequestRow, LoggedRequest)

#: The condition of each filter on entries.
REQUEST_CONDITIONS: Mapping[str, Callable[[Any], Any]] = {
    "account": lambda value: RequestRow.account == value,
    "domain": lambda value: RequestRow.domain == value.lower(),
    "operation": lambda value: RequestRow.operation == value,
    "status": lambda value: RequestRow.status == value,
    "since": lambda value: RequestRow.time >= value,
    "dialect": lambda value: (
        (RequestRow.dialect == value) | RequestRow.dialect.startswith(f"{value}.")
    ),
}


class RequestStore:
    """The entries of the request log in a database."""

    _insert = Compiled(
        lambda engine: engine.compile(insert(RequestRow, REQUEST_COLUMNS))
    )
    _trim = Compiled(
        lambda engine: engine.compile(RequestRow.delete().where(RequestRow.id <= 0))
    )

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._relaxed = engine.relaxed(LOG_TIMEOUT)

    def add(self, entry: LoggedRequest, size: int) -> None:
        """Append *entry*; remove older entries that exceed a ring of *size* entries.

        These are two transactions. The ring is too long until the second has ended.

        :raises StorageError: if the database is busy for :data:`LOG_TIMEOUT` seconds.
        """
        values = {**asdict(entry), "parameters": json.dumps(entry.parameters)}
        newest = self._relaxed.execute_insert(self._insert, [*values.values()])
        if newest > size:
            self._relaxed.execute(self._trim, (newest - size,))

    def find(self, wanted: RequestFilter, limit: int) -> list[LoggedRequest]:
        """Return the last *limit* entries that match, oldest first."""
        query = _where(RequestRow.select(*REQUEST_COLUMNS), wanted)
        query = query.order_by(RequestRow.id.desc()).limit(limit)
        rows = self._engine.fetch_query(query)
        return [_entry(row) for row in reversed(rows)]

    def count(self, wanted: RequestFilter) -> int:
        """Return the number of entries that match."""
        query = _where(RequestRow.select(COUNT_ALL), wanted)
        return int(self._engine.fetch_query(query)[0][0])

    def remove_owned(self, owner: str) -> None:
        """Remove the entries of the account or domain *owner*."""
        is_in_domain = RequestRow.domain == owner.lower()
        query = RequestRow.delete().where((RequestRow.account == owner) | is_in_domain)
        self._engine.transact(lambda: self._engine.execute_query(query))

    def clear(self) -> int:
        """Remove all entries; return how many there were."""
        query = RequestRow.delete()
        return self._engine.transact(lambda: self._engine.execute_query(query))


def _where(query: Any, wanted: RequestFilter) -> Any:
    """Return *query* limited to the entries that match *wanted*."""
    for name, value in asdict(wanted).items():
        if value is not None:
            query = query.where(REQUEST_CONDITIONS[name](value))
    return query


def _entry(row: Sequence[Any]) -> LoggedRequest:
    entry = LoggedRequest(*row)
    return replace(entry, parameters=json.loads(str(entry.parameters)))
