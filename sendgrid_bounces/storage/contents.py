"""The contents of a database as a whole: counted and removed."""

from collections.abc import Sequence

import peewee

from sendgrid_bounces.core.contents import Counts
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.sql import COUNT_ALL
from sendgrid_bounces.storage.tables import (
    AccountRow,
    BounceListRow,
    BounceRow,
    ClockRow,
    DeletionRow,
    DomainRow,
    EventRow,
    SourceRow,
)

#: The tables of the contents of lists.
LIST_TABLES = (BounceRow, EventRow, DeletionRow)

#: The tables that a snapshot holds, in the order of their references. Lists are not
#: included: see :meth:`ContentsStore.sweep`.
SNAPSHOT_TABLES: tuple[type[peewee.Model], ...] = (
    AccountRow,
    DomainRow,
    *LIST_TABLES,
    ClockRow,
)

#: The tables that a reset empties, besides fault rules and the request log.
RESET_TABLES: tuple[type[peewee.Model], ...] = (*SNAPSHOT_TABLES, SourceRow)


class ContentsStore:
    """The contents of a database as a whole."""

    _counts = Compiled(
        lambda engine: [
            engine.compile(table.select(COUNT_ALL))
            for table in (AccountRow, DomainRow, BounceRow)
        ]
    )

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def counts(self) -> Counts:
        """Return the number of accounts, domains and bounces."""
        return Counts(*(int(self._engine.fetch(text)[0][0]) for text in self._counts))

    def clear(self, tables: Sequence[type[peewee.Model]]) -> None:
        """Delete all rows of *tables*.

        The lists stay for :meth:`sweep`, so that lists created in between get new
        identifiers. A concurrent request cannot write to the list of another account.
        """
        for table in reversed(tables):
            self._engine.execute_query(table.delete())

    def sweep(self) -> None:
        """Delete the lists that no account or domain refers to, with their bounces.

        Sources of absent accounts and domains go, too.

        The newest list stays, without bounces: SQLite would reuse its identifier for
        the next list, to which a concurrent request might write.
        """
        unnamed = [
            BounceListRow.id.not_in(table.select(table.bounce_list))
            for table in (AccountRow, DomainRow)
        ]
        newest = BounceListRow.select(peewee.fn.MAX(BounceListRow.id))
        is_newest = BounceListRow.id == self._engine.fetch_query(newest)[0][0]
        kept = BounceListRow.select(BounceListRow.id).where(*unnamed, is_newest)
        for (bounce_list,) in self._engine.fetch_query(kept):
            for table in LIST_TABLES:
                is_in_list = table.bounce_list == bounce_list
                self._engine.execute_query(table.delete().where(is_in_list))
        query = BounceListRow.delete().where(*unnamed, ~is_newest)
        self._engine.execute_query(query)
        is_owned = SourceRow.owner.in_(
            AccountRow.select(AccountRow.username)
        ) | SourceRow.owner.in_(DomainRow.select(DomainRow.name))
        self._engine.execute_query(SourceRow.delete().where(~is_owned))
