"""The journal in one database: the last requests, in a ring of fixed size."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import peewee

from sendgrid_bounces.core.requests import LoggedRequest, RequestFilter
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.tables import RequestRow

COLUMNS = (
    RequestRow.time,
    RequestRow.dialect,
    RequestRow.operation,
    RequestRow.account,
    RequestRow.domain,
    RequestRow.method,
    RequestRow.path,
    RequestRow.parameters,
    RequestRow.status,
    RequestRow.rows,
    RequestRow.fault,
)

#: What each filter asks of an entry.
CONDITIONS: Mapping[str, Callable[[Any], Any]] = {
    "account": lambda value: RequestRow.account == value,
    "domain": lambda value: RequestRow.domain == value.lower(),
    "operation": lambda value: RequestRow.operation == value,
    "status": lambda value: RequestRow.status == value,
    "since": lambda value: RequestRow.time >= value,
    "dialect": lambda value: (
        (RequestRow.dialect == value) | RequestRow.dialect.startswith(f"{value}.")
    ),
}

#: Seconds that an entry may wait for others' writes, before it is left out.
PATIENCE = 5


class RequestStore:
    """The entries, in the order in which they were answered."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert = engine.text(
            RequestRow.insert({column.name: None for column in COLUMNS})
        )
        newest = peewee.fn.MAX(RequestRow.id)
        self._newest = engine.text(RequestRow.select(newest))
        self._trim = engine.text(RequestRow.delete().where(RequestRow.id <= 0))

    def add(self, entry: LoggedRequest, size: int) -> None:
        """Add *entry*, and remove what is then too old for a ring of *size*.

        :raises StorageError: if the database is busy: an entry is not waited for.
        """
        values = (
            entry.time,
            entry.dialect,
            entry.operation,
            entry.account,
            entry.domain,
            entry.method,
            entry.path,
            json.dumps(entry.parameters),
            entry.status,
            entry.rows,
            entry.fault,
        )

        def act() -> None:
            self._engine.change(self._insert, values)
            ((newest,),) = self._engine.fetch(self._newest)
            self._engine.change(self._trim, (newest - size,))

        self._engine.transact_relaxed(act, PATIENCE)

    def find(self, wanted: RequestFilter, limit: int) -> list[LoggedRequest]:
        """Return the last *limit* entries that match, oldest first."""
        query = _where(RequestRow.select(*COLUMNS), wanted)
        rows = self._engine.select(query.order_by(RequestRow.id.desc()).limit(limit))
        return [_entry(row) for row in reversed(rows)]

    def count(self, wanted: RequestFilter) -> int:
        """Return how many entries match."""
        query = RequestRow.select(peewee.fn.COUNT(peewee.SQL("*")))
        return int(self._engine.select(_where(query, wanted))[0][0])

    def forget(self, owner: str) -> None:
        """Remove the entries of one account or domain, *owner*."""
        of_domain = RequestRow.domain == owner.lower()
        query = RequestRow.delete().where((RequestRow.account == owner) | of_domain)
        self._engine.transact(lambda: self._engine.execute(query))

    def clear(self) -> int:
        """Remove all entries; return how many there were."""
        query = RequestRow.delete()
        return self._engine.transact(lambda: self._engine.execute(query))


def _where(query: Any, wanted: RequestFilter) -> Any:
    """Return *query* of what is wanted only."""
    for name, value in asdict(wanted).items():
        if value is not None:
            query = query.where(CONDITIONS[name](value))
    return query


def _entry(row: Sequence[Any]) -> LoggedRequest:
    entry = LoggedRequest(*row)
    return replace(entry, parameters=json.loads(str(entry.parameters)))
