"""Build SQL with Peewee: statements that the query builder itself lacks."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import peewee

COUNT_ALL = peewee.fn.COUNT(peewee.SQL("*"))


def table_name(table: type[peewee.Model]) -> str:
    """Return the name of *table* in the database."""
    return str(_meta(table).table_name)


def columns(table: type[peewee.Model]) -> dict[str, peewee.Field]:
    """Return the fields of *table* by their names."""
    return dict(_meta(table).fields)


def primary_key(table: type[peewee.Model]) -> peewee.Field:
    """Return the primary key of *table*."""
    key: peewee.Field = _meta(table).primary_key
    return key


def fields_of(table: type[peewee.Model]) -> list[peewee.Field]:
    """Return the fields of *table* in the order of its columns."""
    return list(_meta(table).sorted_fields)


def fields_by_column(table: type[peewee.Model]) -> dict[str, peewee.Field]:
    """Return the fields of *table* by the names of their columns."""
    return {field.column_name: field for field in fields_of(table)}


def columns_like(table: type[peewee.Model], record: type[Any]) -> list[peewee.Field]:
    """Return the fields of *table* that the dataclass *record* names, in its order."""
    return [getattr(table, field.name) for field in fields(record)]


def insert(
    table: type[peewee.Model], columns: Sequence[peewee.Field]
) -> peewee.ModelInsert:
    """Return a query that inserts a row with values for *columns*, in this order."""
    return table.insert_many([[None] * len(columns)], columns)


def insert_absent(
    table: type[peewee.Model], columns: Sequence[peewee.Field]
) -> peewee.Query:
    """Return a query like :func:`insert`, which keeps an existing row as it is."""
    key = primary_key(table)
    return insert(table, columns).on_conflict(update={key: key})


def upsert(
    table: type[peewee.Model],
    keys: Sequence[str],
    keep: Sequence[str],
    *,
    with_target: bool,
) -> peewee.Query:
    """Return a query that inserts a row into *table* or updates the existing row.

    The query has a value for each column except ``id``.

    :param keys: the fields of the unique index that identifies the existing row.
    :param keep: the fields that an update does not change.
    :param with_target: whether the product accepts a conflict target.
    """
    values = [field for field in fields_of(table) if field.name != "id"]
    changed = [f for f in values if f.name not in keys and f.name not in keep]
    conflict: dict[str, Any] = {"preserve": changed}
    if with_target:
        conflict["conflict_target"] = [field for field in values if field.name in keys]
    return table.insert(dict.fromkeys(values)).on_conflict(**conflict)


def is_outside(field: peewee.Field, start: int = 0, end: int = 0) -> Any:
    """Return the condition that *field* is less than *start* or greater than *end*."""
    return (field < start) | (field > end)


def outside(field: peewee.Field) -> "peewee.ModelSelect[Any]":
    """Return a query for the identifiers of some rows with *field* outside of bounds.

    Its values are the lower bound, the upper bound, and the maximum number of rows.
    """
    table = field.model
    query: peewee.ModelSelect[Any] = table.select(primary_key(table))
    return query.where(is_outside(field)).limit(1)


def create_statements(
    table: type[peewee.Model], builder: peewee.Database
) -> tuple[str, list[str]]:
    """Return the statements that create *table*, and that create its indexes."""
    schema: Any = peewee.SchemaManager(table, builder)  # its stubs lack these methods
    create = schema._create_table()  # noqa: SLF001 - the public method runs it
    indexes = schema._create_indexes()  # noqa: SLF001 - the public method runs all
    return create.query()[0], [index.query()[0] for index in indexes]


def _meta(table: type[peewee.Model]) -> Any:
    return table._meta  # noqa: SLF001 - Peewee's documented place for metadata
