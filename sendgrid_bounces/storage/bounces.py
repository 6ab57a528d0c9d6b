"""The bounces on the lists: found, counted, deleted and put.

Each shape of query (which filters are present) is turned into SQL text once, by
Peewee, and kept. A long list is read in batches, each a short read of its own that
starts where the last one ended: nothing is held open for a slow reader.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import peewee

from sendgrid_bounces.core.bounces import Bounce, BounceQuery, fold
from sendgrid_bounces.storage.engines import SQLiteEngine
from sendgrid_bounces.storage.models import BounceRow

#: Rows a read: a longer one is no faster, and small calls wait for it.
BATCH = 250

#: Rows that an import hands to the database at once.
CHUNK = 1_000

#: A row as it is read: email, status, code, reason, created, reported, id.
BounceTuple = tuple[str, str, str, str, int, bool, int]

COLUMNS = (
    BounceRow.email,
    BounceRow.status,
    BounceRow.code,
    BounceRow.reason,
    BounceRow.created,
    BounceRow.reported,
    BounceRow.id,
)
ORDER = (BounceRow.created, BounceRow.id)

#: The same order where addresses are looked up. The sign hides the column from the
#: planner, which would rather walk a range of dates than find a few addresses.
ORDER_OF_FEW = (peewee.NodeList((peewee.SQL("+"), BounceRow.created)), BounceRow.id)

#: A filter of a query: its condition, made from (order, values), with a place for
#: each of the values.
CONDITIONS: dict[str, Callable[[Any, list[str]], Any]] = {
    "created_from": lambda order, _: peewee.Expression(order[0], ">=", 0),
    "created_before": lambda order, _: peewee.Expression(order[0], "<", 0),
    "type": lambda order, _: BounceRow.type == 0,
    "emails": lambda order, values: BounceRow.key.in_(values),
    "after": lambda order, _: peewee.Tuple(*order) > peewee.Tuple(0, 0),
}

#: An operation: the query that does it, made from the order.
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "find": lambda order: BounceRow.select(*COLUMNS).order_by(*order).limit(1),
    "position": lambda order: (
        BounceRow.select(*ORDER).order_by(*order).limit(1).offset(1)
    ),
    "count": lambda order: BounceRow.select(peewee.fn.COUNT(peewee.SQL("*"))),
    "delete": lambda order: BounceRow.delete(),
}


def as_bounce(row: BounceTuple) -> Bounce:
    """Return the bounce that *row* holds."""
    email, status, code, reason, created, reported, _id = row
    return Bounce(email, status, code, reason, created, bool(reported))


class BounceStore:
    """The bounces in one database; a list is named by its identifier."""

    def __init__(self, engine: SQLiteEngine) -> None:
        self._engine = engine
        self._text = lru_cache(maxsize=256)(self._compile)
        keys = ("bounce_list", "key")
        self._put = engine.upsert(BounceRow, keys)
        self._put_undated = engine.upsert(BounceRow, keys, kept=("created",))

    def find(
        self,
        bounce_list: int,
        query: BounceQuery,
        limit: int | None = None,
        offset: int = 0,
    ) -> Iterator[list[BounceTuple]]:
        """Yield the bounces that match, oldest first, in batches of rows.

        What is added or deleted meanwhile is seen or not; no row comes twice, and
        none that was there throughout is missed.
        """
        filters = _filters(query)
        if offset:
            last_skipped = self._run("position", bounce_list, filters, 1, offset - 1)
            if not last_skipped:
                return
            filters["after"] = last_skipped[0]
        while limit is None or limit > 0:
            size = BATCH if limit is None else min(BATCH, limit)
            rows = self._run("find", bounce_list, filters, size)
            if rows:
                yield rows
            if len(rows) < size:
                return
            limit = None if limit is None else limit - size
            filters["after"] = (rows[-1][4], rows[-1][6])

    def count(self, bounce_list: int, query: BounceQuery) -> int:
        """Return how many bounces match."""
        return int(self._run("count", bounce_list, _filters(query))[0][0])

    def delete(self, bounce_list: int, query: BounceQuery) -> int:
        """Delete the bounces that match, all or none; return how many there were."""
        filters = _filters(query)
        with self._engine.transaction():
            return self._engine.change(
                self._text("delete", _shape(filters)), _values(bounce_list, filters)
            )

    def put(
        self, bounce_list: int, bounces: Iterable[Bounce], *, redate: bool = True
    ) -> int:
        """Store *bounces*, replacing what the list holds of their addresses.

        One act, whatever their number; they are consumed as they are stored.

        :param redate: whether a replaced bounce takes the new one's instant.
        :returns: how many were stored.
        :raises ParametersError: if one of them cannot be stored. None is, then.
        """
        text = self._put if redate else self._put_undated
        rows = (_row(bounce_list, bounce.checked()) for bounce in bounces)
        stored = 0
        with self._engine.transaction():
            while chunk := list(islice(rows, CHUNK)):
                self._engine.change_many(text, chunk)
                stored += len(chunk)
        return stored

    def _run(
        self,
        operation: str,
        bounce_list: int,
        filters: dict[str, Sequence[Any]],
        *bounds: int,
    ) -> list[Any]:
        return self._engine.fetch(
            self._text(operation, _shape(filters)),
            (*_values(bounce_list, filters), *bounds),
        )

    def _compile(self, operation: str, shape: tuple[tuple[str, int], ...]) -> str:
        order = ORDER_OF_FEW if "emails" in dict(shape) else ORDER
        conditions = [BounceRow.bounce_list == 0]
        conditions += [CONDITIONS[name](order, [""] * length) for name, length in shape]
        return self._engine.text(OPERATIONS[operation](order).where(*conditions))


def _filters(query: BounceQuery) -> dict[str, Sequence[Any]]:
    """Return the filters that are present, each with its values."""
    filters: dict[str, Sequence[Any]] = {}
    if query.created_from is not None:
        filters["created_from"] = (query.created_from,)
    if query.created_before is not None:
        filters["created_before"] = (query.created_before,)
    if query.type is not None:
        filters["type"] = (int(query.type),)
    if query.emails:
        filters["emails"] = [fold(email) for email in query.emails]
    return filters


def _shape(filters: dict[str, Sequence[Any]]) -> tuple[tuple[str, int], ...]:
    return tuple((name, len(values)) for name, values in filters.items())


def _values(bounce_list: int, filters: dict[str, Sequence[Any]]) -> list[Any]:
    return [bounce_list, *(value for values in filters.values() for value in values)]


def _row(bounce_list: int, bounce: Bounce) -> tuple[Any, ...]:
    return (
        bounce_list,
        fold(bounce.email),
        bounce.email,
        bounce.status,
        bounce.code,
        bounce.reason,
        int(bounce.type),
        bounce.created,
        bounce.reported,
    )
