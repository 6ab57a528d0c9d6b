"""All that a database holds: counted, and wiped."""

from collections.abc import Sequence
from dataclasses import dataclass

import peewee

from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.tables import (
    AccountRow,
    BounceListRow,
    BounceRow,
    ClockRow,
    DomainRow,
    FaultRow,
    RequestRow,
)

#: The state of the emulator, which a snapshot holds. Rows refer to those before them;
#: the lists themselves go last, with :meth:`ContentsStore.sweep`.
STATE: tuple[type[peewee.Model], ...] = (AccountRow, DomainRow, BounceRow, ClockRow)

#: What a reset wipes: the state, and what was told of it.
RESET: tuple[type[peewee.Model], ...] = (*STATE, FaultRow, RequestRow)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is."""

    accounts: int
    domains: int
    bounces: int


class ContentsStore:
    """The contents of one database as a whole."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counts = [
            engine.text(table.select(peewee.fn.COUNT(peewee.SQL("*"))))
            for table in (AccountRow, DomainRow, BounceRow)
        ]

    def counts(self) -> Counts:
        """Return how much there is."""
        return Counts(*(int(self._engine.fetch(text)[0][0]) for text in self._counts))

    def wipe(self, tables: Sequence[type[peewee.Model]]) -> None:
        """Remove all rows of *tables*.

        The lists stay for :meth:`sweep`: those that are made before it have other
        identifiers then, and a request that is on its way finds no list of others.
        """
        for table in reversed(tables):
            self._engine.execute(table.delete())

    def sweep(self) -> None:
        """Remove the lists that have no name, with their bounces.

        The newest one stays, without them: SQLite would give its identifier to the next
        list, and a request that is on its way would write there.
        """
        unnamed = [
            BounceListRow.id.not_in(table.select(table.bounce_list))
            for table in (AccountRow, DomainRow)
        ]
        newest = BounceListRow.select(peewee.fn.MAX(BounceListRow.id))
        is_newest = BounceListRow.id == self._engine.select(newest)[0][0]
        emptied = BounceListRow.select(BounceListRow.id).where(*unnamed, is_newest)
        for (bounce_list,) in self._engine.select(emptied):
            mine = BounceRow.bounce_list == bounce_list
            self._engine.execute(BounceRow.delete().where(mine))
        self._engine.execute(BounceListRow.delete().where(*unnamed, ~is_newest))
