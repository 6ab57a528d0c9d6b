"""Read and delete rows in batches."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import peewee

from sendgrid_bounces.storage import sql
from sendgrid_bounces.storage.engine import Engine, Row

#: Values in one statement.
CHUNK_SIZE = 500

#: Old records that a request deletes besides twice as many as it adds.
MIN_PURGED = 100

Value = TypeVar("Value")


def chunks(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Yield *values* in lists that fit into one statement."""
    for start in range(0, len(values), CHUNK_SIZE):
        yield values[start : start + CHUNK_SIZE]


def delete_rows(
    engine: Engine, field: peewee.Field, found: Sequence[Row], *conditions: Any
) -> int:
    """Delete the rows with a value of *field* that a query has *found*; count them.

    :param conditions: that the rows must still meet.
    """
    delete = field.model.delete
    return sum(
        engine.delete_query(delete().where(field.in_(values), *conditions))
        for values in chunks([value for (value,) in found])
    )


def purge_rows(
    engine: Engine, field: peewee.Field, find: str, bounds: tuple[int, int], added: int
) -> None:
    """Delete rows with *field* outside of *bounds*, in short transactions.

    A request that adds many rows deletes more than it adds, so that their number does
    not grow, and one that adds a few takes a moment.

    :param find: the text of :func:`.sql.outside` for *field*.
    :param added: the largest number of rows that the request adds.
    """
    key = sql.primary_key(field.model)
    is_old = sql.is_outside(field, *bounds)  # not renewed meanwhile
    most = MIN_PURGED + 2 * added
    for start in range(0, most, CHUNK_SIZE):
        size = min(CHUNK_SIZE, most - start)
        found = engine.fetch(find, (*bounds, size))
        if found:
            engine.transact(partial(delete_rows, engine, key, found, is_old))
        if len(found) < size:
            break


def read_rows(
    engine: Engine,
    table: type[peewee.Model],
    fields: Sequence[peewee.Field],
    size: int,
) -> Iterator[list[Row]]:
    """Yield the rows of *table* in the order of their identifiers.

    :param fields: the columns of a row.
    :param size: the maximum number of rows in a batch.
    """
    key = sql.primary_key(table)
    query = table.select(key, *fields).where(key > 0).order_by(key)
    text, last = engine.compile(query.limit(size)), 0
    while rows := engine.fetch(text, (last, size)):
        last = rows[-1][0]
        yield [row[1:] for row in rows]
