"""The bounces on the lists: found, counted, deleted and put.

Each shape of query (which filters are present) is turned into SQL text once, by
Peewee, and kept. A long list is read in batches, each a short read of its own that
starts where the last one ended: nothing is held open for a slow reader.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from typing import Any

import peewee

from sendgrid_bounces.core.bounces import (
    Bounce,
    BouncePage,
    BounceQuery,
    fold,
    successor,
)
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.spool import Spool
from sendgrid_bounces.storage.tables import KEY_INDEX, TIME_INDEX, BounceRow

#: Rows a read: a longer one is no faster, and small calls wait for it.
BATCH = 500

#: A row as it is read: email, status, code, reason, reported, created, id.
BounceTuple = tuple[str, str, str, str, bool, int, int]

#: The same, with less of it: email, status, reason, created, id.
BriefTuple = tuple[str, str, str, int, int]

BRIEF = (
    BounceRow.email,
    BounceRow.status,
    BounceRow.reason,
    BounceRow.created,
    BounceRow.id,
)
WHOLE = (
    BounceRow.email,
    BounceRow.status,
    BounceRow.code,
    BounceRow.reason,
    BounceRow.reported,
    BounceRow.created,
    BounceRow.id,
)

#: The orders that rows are read in, by the operation that reads them.
TIME = (BounceRow.created, BounceRow.id)

#: Time, where addresses are looked up. The sign hides the column from the planner,
#: which would rather walk a range of dates than find a few addresses.
TIME_OF_FEW = (peewee.NodeList((peewee.SQL("+"), BounceRow.created)), BounceRow.id)

#: A filter of a query: its condition, made from (time, values), with a place for each
#: of the values.
CONDITIONS: dict[str, Callable[[Any, list[str]], Any]] = {
    "created_from": lambda time, _: peewee.Expression(time[0], ">=", 0),
    "created_before": lambda time, _: peewee.Expression(time[0], "<", 0),
    "type": lambda time, _: BounceRow.type == 0,
    "emails": lambda time, values: BounceRow.key.in_(values),
    "later": lambda time, values: _beyond(time, ">", len(values)),
    "earlier": lambda time, values: _beyond(time, "<", len(values)),
    "key_from": lambda time, _: BounceRow.key >= "",
    "key_before": lambda time, _: BounceRow.key < "",
    "key_after": lambda time, _: BounceRow.key > "",
}


def _beyond(time: Any, operator: str, places: int) -> Any:
    """Return the condition that a row comes after a place in time.

    :param places: 2, or 3 if the time alone has to say where to begin.
    """
    exact = peewee.Expression(peewee.Tuple(*time), operator, peewee.Tuple(0, 0))
    if places == len(time):
        return exact
    return peewee.Expression(time[0], f"{operator}=", 0) & exact


def _rows(columns: Any, *order: Any) -> Any:
    return BounceRow.select(*columns).order_by(*order).limit(1)


def _position(*order: Any) -> Any:
    return BounceRow.select(*TIME).order_by(*order).limit(1).offset(1)


def _descending(order: Any) -> list[Any]:
    return [peewee.Ordering(column, "DESC") for column in order]


#: An operation: the query that does it, made from the time.
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "oldest": lambda time: _rows(WHOLE, *time),
    "oldest brief": lambda time: _rows(BRIEF, *time),
    "oldest position": lambda time: _position(*time),
    "newest": lambda time: _rows(WHOLE, *_descending(time)),
    "newest position": lambda time: _position(*_descending(time)),
    "first keys": lambda time: _rows(WHOLE, BounceRow.key),
    "last keys": lambda time: _rows(WHOLE, BounceRow.key.desc()),
    "count": lambda time: BounceRow.select(peewee.fn.COUNT(peewee.SQL("*"))),
    "delete": lambda time: BounceRow.delete(),
}


#: The index that each operation walks along; no index where the filters choose one.
WALKS = {
    "oldest": TIME_INDEX,
    "oldest brief": TIME_INDEX,
    "oldest position": TIME_INDEX,
    "newest": TIME_INDEX,
    "newest position": TIME_INDEX,
    "first keys": KEY_INDEX,
    "last keys": KEY_INDEX,
}


def as_bounce(row: BounceTuple) -> Bounce:
    """Return the bounce that *row* holds."""
    email, status, code, reason, reported, created, _id = row
    return Bounce(email, status, code, reason, created, bool(reported))


class BounceStore:
    """The bounces in one database; a list is named by its identifier."""

    def __init__(self, engine: Engine) -> None:
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
        *,
        newest_first: bool = False,
    ) -> Iterator[list[BounceTuple]]:
        """Yield the bounces that match, oldest first, in batches of rows.

        What is added or deleted meanwhile is seen or not. No row comes twice, and none
        that was there throughout is missed, but for one that is put again meanwhile,
        with another time.
        """
        order = "newest" if newest_first else "oldest"
        return self._walk(order, "", bounce_list, query, limit, offset)

    def find_brief(
        self,
        bounce_list: int,
        query: BounceQuery,
        limit: int | None = None,
        offset: int = 0,
    ) -> Iterator[list[BriefTuple]]:
        """Yield as :meth:`find` does, with less of each row: it is read faster."""
        return self._walk("oldest", " brief", bounce_list, query, limit, offset)

    def page(self, bounce_list: int, page: BouncePage, limit: int) -> list[BounceTuple]:
        """Return the rows of a page, in the order of their keys.

        A page begins at a key, not at a number: what others add and delete before it
        moves nothing, and the thousandth page costs what the first one costs.
        """
        filters: dict[str, Sequence[Any]] = {}
        if page.prefix:
            prefix = fold(page.prefix)
            filters["key_from"] = (prefix,)
            if end := successor(prefix):
                filters["key_before"] = (end,)
        if page.pivot is not None:
            bound = "key_before" if page.backwards else "key_after"
            values = [fold(page.pivot), *filters.get(bound, ())]
            filters[bound] = (min(values),)
        operation = "last keys" if page.backwards else "first keys"
        rows = self._run(operation, bounce_list, filters, limit)
        return rows[::-1] if page.backwards else rows

    def count(self, bounce_list: int, query: BounceQuery) -> int:
        """Return how many bounces match."""
        return int(self._run("count", bounce_list, _filters(query))[0][0])

    def delete(self, bounce_list: int, query: BounceQuery) -> int:
        """Delete the bounces that match, all or none; return how many there were."""
        filters = _filters(query)
        text = self._text("delete", _shape(filters))
        values = _values(bounce_list, filters)
        return self._engine.transact(lambda: self._engine.change(text, values))

    def put(
        self, bounce_list: int, bounces: Iterable[Bounce], *, redate: bool = True
    ) -> int:
        """Store *bounces*, replacing what the list holds of their addresses.

        One act, whatever their number. They are all there before the first one is
        stored, and wait on disk if they are many, so that others can write meanwhile.

        :param redate: whether a replaced bounce takes the new one's instant.
        :returns: how many were stored.
        :raises ParametersError: if *bounces* does: one of them cannot be made. None
            is stored, then.
        """
        text = self._put if redate else self._put_undated
        rows = (_row(bounce_list, bounce) for bounce in bounces)
        with closing(Spool(rows)) as spool:

            def store() -> int:
                stored = 0
                for chunk in spool.chunks():
                    self._engine.change_many(text, chunk)
                    stored += len(chunk)
                return stored

            return self._engine.transact(store)

    def _walk(
        self,
        order: str,
        extent: str,
        bounce_list: int,
        query: BounceQuery,
        limit: int | None,
        offset: int,
    ) -> Iterator[list[Any]]:
        """Yield batches in the order of time; a row ends in its created and id."""
        beyond = {"oldest": "later", "newest": "earlier"}[order]
        filters = _filters(query)
        if offset:
            position = f"{order} position"
            skipped = self._run(position, bounce_list, filters, 1, offset - 1)
            if not skipped:
                return
            filters[beyond] = self._beyond(*skipped[0])
        while limit is None or limit > 0:
            size = BATCH if limit is None else min(BATCH, limit)
            rows = self._run(order + extent, bounce_list, filters, size)
            if rows:
                yield rows
            if len(rows) < size:
                return
            limit = None if limit is None else limit - size
            filters[beyond] = self._beyond(*rows[-1][-2:])

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
        time = TIME_OF_FEW if "emails" in dict(shape) else TIME
        conditions = [BounceRow.bounce_list == 0]
        conditions += [CONDITIONS[name](time, [""] * length) for name, length in shape]
        query = OPERATIONS[operation](time).where(*conditions)
        index = WALKS.get(operation, "") if time is TIME else ""
        return self._engine.text(query, index)

    def _beyond(self, created: int, id_: int) -> tuple[int, ...]:
        """Return the values of the condition that a row comes after this one."""
        if self._engine.searches_row_values:
            return created, id_
        return created, created, id_


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
