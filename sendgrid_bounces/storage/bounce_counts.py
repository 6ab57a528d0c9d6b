"""Count the bounces on all lists, over types and over time."""

from typing import Any

import peewee

from sendgrid_bounces.core.bounces import BounceType
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.sql import COUNT_ALL
from sendgrid_bounces.storage.tables import BounceListRow, BounceRow

#: The number of bounces of each list that has some.
COUNT_LISTS = BounceRow.select(BounceRow.bounce_list, COUNT_ALL).group_by(
    BounceRow.bounce_list
)


def _count_type(type_: BounceType) -> Any:
    """Return the number of rows of a type in a group."""
    when, then = peewee.SQL("CASE WHEN"), peewee.SQL(f"= {int(type_)} THEN 1 END")
    return peewee.fn.COUNT(peewee.NodeList((when, BounceRow.type, then)))


#: The number of bounces of each list and type. To group by type, too, would sort all
#: rows: the index has the types of a list in the order of time.
COUNT_TYPES = BounceRow.select(
    BounceRow.bounce_list, *map(_count_type, BounceType)
).group_by(BounceRow.bounce_list)


def extreme_instants(function: Any) -> Any:
    """Return the query of the oldest or newest instant of each list.

    The instant is NULL for an empty list. The index has no instants without a list.

    :param function: MIN or MAX.
    """
    is_listed = BounceRow.bounce_list == BounceListRow.id
    return BounceListRow.select(
        BounceRow.select(function(BounceRow.created)).where(is_listed)
    )


def histogram(engine: Engine, *, of_list: bool) -> Any:
    """Return the query that counts the bounces of each interval and type.

    The placeholders stand for the start, the width, the list if *of_list*, the start
    and the end.
    """
    since = peewee.Expression(BounceRow.created, "-", 0)
    interval = peewee.Expression(since, engine.integer_division, 1)
    lists = BounceListRow.select(BounceListRow.id)
    is_listed = (
        BounceRow.bounce_list == 0 if of_list else BounceRow.bounce_list.in_(lists)
    )
    return (
        BounceRow.select(interval.alias("position"), BounceRow.type, COUNT_ALL)
        .where(is_listed, BounceRow.created >= 0, BounceRow.created < 0)
        .group_by(peewee.SQL("position"), BounceRow.type)
    )


class BounceCounts:
    """The numbers of bounces in a database. A list is named by its identifier."""

    _lists = Compiled(lambda engine: engine.compile(COUNT_LISTS))
    _types = Compiled(lambda engine: engine.compile(COUNT_TYPES))
    _newest = Compiled(lambda engine: engine.compile(extreme_instants(peewee.fn.MAX)))
    _oldest = Compiled(lambda engine: engine.compile(extreme_instants(peewee.fn.MIN)))
    _histogram = Compiled(
        lambda engine: engine.compile(histogram(engine, of_list=False))
    )
    _histogram_of_list = Compiled(
        lambda engine: engine.compile(histogram(engine, of_list=True))
    )

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of_lists(self) -> dict[int, int]:
        """Return the number of bounces of each list that has some."""
        return {int(key): int(count) for key, count in self._engine.fetch(self._lists)}

    def of_types(self) -> dict[int, dict[BounceType, int]]:
        """Return the number of bounces of each type, by list; no list without any."""
        return {
            int(bounce_list): dict(zip(BounceType, map(int, counts), strict=True))
            for bounce_list, *counts in self._engine.fetch(self._types)
        }

    def newest(self) -> int | None:
        """Return the instant of the newest bounce on any list, if there is one."""
        instants = [row[0] for row in self._engine.fetch(self._newest)]
        return max((int(at) for at in instants if at is not None), default=None)

    def oldest(self) -> int | None:
        """Return the instant of the oldest bounce on any list, if there is one."""
        instants = [row[0] for row in self._engine.fetch(self._oldest)]
        return min((int(at) for at in instants if at is not None), default=None)

    def histogram(
        self, start: int, end: int, width: int, bounce_list: int | None = None
    ) -> list[tuple[int, BounceType, int]]:
        """Count the bounces in each interval, by type.

        :param start: the first instant of the first interval.
        :param end: the first instant after the last interval.
        :param width: the length of an interval in seconds.
        :param bounce_list: None for all lists.
        :returns: the index of an interval, a type and their number of bounces; none if
            the number is 0.
        """
        if bounce_list is None:
            text, values = self._histogram, [start, width, start, end]
        else:
            text = self._histogram_of_list
            values = [start, width, bounce_list, start, end]
        rows = self._engine.fetch(text, values)
        return [(int(at), BounceType(type_), int(n)) for at, type_, n in rows]
