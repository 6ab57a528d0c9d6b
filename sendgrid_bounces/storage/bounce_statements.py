"""The SQL statements about bounces.

A statement and the filters that are present form a query shape; each shape is compiled
once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import peewee

from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.sql import COUNT_ALL
from sendgrid_bounces.storage.tables import (
    KEY_INDEX,
    TIME_INDEX,
    BounceRow,
)

#: A query shape's filters: the name of each and its number of values.
Shape = tuple[tuple[str, int], ...]

#: The columns of a row.
ALL_COLUMNS = (
    BounceRow.email,
    BounceRow.status,
    BounceRow.code,
    BounceRow.reason,
    BounceRow.reported,
    BounceRow.created,
    BounceRow.id,
)

#: The columns of a brief row, which is faster to read.
BRIEF_COLUMNS = (
    BounceRow.email,
    BounceRow.status,
    BounceRow.reason,
    BounceRow.created,
    BounceRow.id,
)

#: The order of time.
TIME = (BounceRow.created, BounceRow.id)

#: The order of time for a query by address. The sign hides the column from SQLite's
#: planner, which would otherwise search a range of dates instead of a few addresses.
UNINDEXED_TIME = (
    peewee.NodeList((peewee.SQL("+"), BounceRow.created)),
    BounceRow.id,
)


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A statement without its conditions.

    :param build: makes the query from the order of time.
    :param index: the index to walk along; empty if the best depends on the filters.
    """

    build: Callable[[Any], Any]
    index: str = ""


@dataclass(frozen=True, slots=True)
class Walk:
    """The statements that read a list in the order of time, batch by batch.

    :param rows: reads a batch.
    :param position: reads the position of the row before an offset.
    :param is_ascending: whether the oldest row is the first.
    """

    rows: Statement
    position: Statement
    is_ascending: bool = True


def _rows(columns: Any, *order: Any) -> Any:
    return BounceRow.select(*columns).order_by(*order).limit(1)


def _position(*order: Any) -> Any:
    return BounceRow.select(*TIME).order_by(*order).limit(1).offset(1)


def _descending(order: Any) -> list[Any]:
    return [peewee.Ordering(column, "DESC") for column in order]


OLDEST = Statement(lambda time: _rows(ALL_COLUMNS, *time), TIME_INDEX)
OLDEST_BRIEF = Statement(lambda time: _rows(BRIEF_COLUMNS, *time), TIME_INDEX)
OLDEST_POSITION = Statement(lambda time: _position(*time), TIME_INDEX)
NEWEST = Statement(lambda time: _rows(ALL_COLUMNS, *_descending(time)), TIME_INDEX)
NEWEST_POSITION = Statement(lambda time: _position(*_descending(time)), TIME_INDEX)
NEWEST_BY_KEY = Statement(
    lambda time: _rows(BRIEF_COLUMNS, *_descending(time[:1]), BounceRow.key).offset(1)
)
FIRST_KEYS = Statement(lambda _: _rows(ALL_COLUMNS, BounceRow.key), KEY_INDEX)
FIRST_KEYS_BRIEF = Statement(
    lambda _: _rows(BRIEF_COLUMNS, BounceRow.key).offset(1), KEY_INDEX
)
KEY_POSITION = Statement(
    lambda _: (
        BounceRow.select(BounceRow.key).order_by(BounceRow.key).limit(1).offset(1)
    ),
    KEY_INDEX,
)
LAST_KEYS = Statement(lambda _: _rows(ALL_COLUMNS, BounceRow.key.desc()), KEY_INDEX)
COUNT = Statement(lambda _: BounceRow.select(COUNT_ALL))
DELETE = Statement(lambda _: BounceRow.delete())

OLDEST_FIRST = Walk(OLDEST, OLDEST_POSITION)
OLDEST_FIRST_BRIEF = Walk(OLDEST_BRIEF, OLDEST_POSITION)
NEWEST_FIRST = Walk(NEWEST, NEWEST_POSITION, is_ascending=False)

#: Quotes a character in a pattern of LIKE.
LIKE_ESCAPE = "|"

#: A placeholder.
_VALUE = peewee.Value("")

_lower = peewee.fn.LOWER


def _like(column: Any, pattern: Any = _VALUE) -> peewee.NodeList:
    """Return the condition that *column* matches *pattern*."""
    escape = peewee.SQL(f"ESCAPE '{LIKE_ESCAPE}'")
    return peewee.NodeList((column, peewee.SQL("LIKE"), pattern, escape))


#: The key, of which the database looks up no range for a pattern: that of MariaDB ends
#: at U+FFFF, and the filters have a range of their own.
_SCANNED_KEY = peewee.fn.COALESCE(BounceRow.key, peewee.SQL("''"))


def _any_of(conditions: list[peewee.NodeList]) -> peewee.NodeList:
    """Return a condition without nested parentheses, whose depth SQLite limits."""
    return peewee.NodeList(conditions, glue=" OR ", parens=True)


#: The condition of each filter, made from the order of time and the number of values.
BOUNCE_CONDITIONS: dict[str, Callable[[Any, int], Any]] = {
    "created_from": lambda time, _: peewee.Expression(time[0], ">=", 0),
    "created_before": lambda time, _: peewee.Expression(time[0], "<", 0),
    "type": lambda time, _: BounceRow.type == 0,
    "excluded_type": lambda time, _: BounceRow.type != 0,
    "pattern": lambda time, _: _like(_SCANNED_KEY),
    "emails": lambda time, count: BounceRow.key.in_([""] * count),
    # LIKE ignores letter case in SQLite only; the keys are in lower case.
    "status_glob": lambda _, __: _like(_lower(BounceRow.status), _lower(_VALUE)),
    "email_globs": lambda _, count: _any_of([_like(_SCANNED_KEY)] * count),
    "created": lambda time, _: peewee.Expression(time[0], "=", 0),
    "id_after": lambda time, _: time[1] > 0,
    "id_before": lambda time, _: time[1] < 0,
    "key_from": lambda time, _: BounceRow.key >= "",
    "key_before": lambda time, _: BounceRow.key < "",
    "key_to": lambda time, _: BounceRow.key <= "",
    "key_after": lambda time, _: BounceRow.key > "",
}


def compile_statement(engine: Engine, statement: Statement, shape: Shape) -> str:
    """Return the SQL text of *statement* on a list, with the filters of *shape*.

    The placeholders stand for the list, the values of the filters, limit and offset.
    """
    is_by_key = statement.index == KEY_INDEX or any(n == "emails" for n, _ in shape)
    time = UNINDEXED_TIME if is_by_key else TIME
    conditions = [BounceRow.bounce_list == 0]
    conditions += [BOUNCE_CONDITIONS[name](time, count) for name, count in shape]
    query = statement.build(time).where(*conditions)
    return engine.compile(query, KEY_INDEX if is_by_key else statement.index)
