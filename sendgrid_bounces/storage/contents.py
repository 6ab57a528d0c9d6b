"""The contents of a database as a whole: counted and removed."""

from collections.abc import Sequence
from typing import Any

import peewee

from sendgrid_bounces.core.contents import Counts
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.rows import delete_rows
from sendgrid_bounces.storage.sql import COUNT_ALL
from sendgrid_bounces.storage.tables import (
    TABLES,
    AccountRow,
    BounceListRow,
    BounceRow,
    ClockRow,
    DeletionRow,
    DomainRow,
    EventRow,
    PullRow,
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

#: The tables whose rows have the name of an account or a domain, their owner.
OWNED_TABLES: tuple[Any, ...] = (SourceRow, PullRow)

#: The tables that a reset empties, besides fault rules and the request log.
RESET_TABLES: tuple[type[peewee.Model], ...] = (*SNAPSHOT_TABLES, *OWNED_TABLES)

#: The conditions that neither an account nor a domain refers to a list.
IS_UNNAMED = [
    BounceListRow.id.not_in(table.select(table.bounce_list))
    for table in (AccountRow, DomainRow)
]


def _is_owned(table: Any) -> Any:
    """Return the condition that the owner of a source or of a pull exists."""
    return table.owner.in_(AccountRow.select(AccountRow.username)) | (
        table.owner.in_(DomainRow.select(DomainRow.name))
    )


class ContentsStore:
    """The contents of a database as a whole."""

    _counts = Compiled(
        lambda engine: [
            engine.compile(table.select(COUNT_ALL))
            for table in (AccountRow, DomainRow, BounceRow)
        ]
    )
    _clear: Compiled[dict[type[peewee.Model], str]] = Compiled(
        lambda engine: {table: engine.compile(table.delete()) for table in TABLES}
    )
    _newest = Compiled(
        lambda engine: engine.compile(
            BounceListRow.select(peewee.fn.MAX(BounceListRow.id))
        )
    )
    _unnamed = Compiled(
        lambda engine: engine.compile(
            BounceListRow.select(BounceListRow.id).where(*IS_UNNAMED)
        )
    )
    _delete_ownerless = Compiled(
        lambda engine: [
            engine.compile(table.delete().where(~_is_owned(table)))
            for table in OWNED_TABLES
        ]
    )

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def counts(self) -> Counts:
        """Return the number of accounts, domains and bounces."""
        return Counts(*map(self._count, self._counts))

    def owners(self) -> set[str]:
        """Return the names of the owners of sources and of pulls."""
        queries = [table.select(table.owner).distinct() for table in OWNED_TABLES]
        return {str(name) for q in queries for (name,) in self._engine.fetch_query(q)}

    def remove_owned(self, owner: str) -> None:
        """Delete the sources and the pull of an account, or of a folded domain."""
        for table in OWNED_TABLES:
            self._engine.execute_query(table.delete().where(table.owner == owner))

    def clear(self, tables: Sequence[type[peewee.Model]]) -> None:
        """Delete all rows of *tables*.

        The lists stay for :meth:`sweep`, so that lists created in between get new
        identifiers. A concurrent request cannot write to the list of another account.
        """
        for table in reversed(tables):
            self._engine.execute_delete(self._clear[table])

    def count_names(self) -> tuple[int, int]:
        """Return the number of accounts and of domains."""
        accounts, domains, _ = self._counts
        return self._count(accounts), self._count(domains)

    def sweep(self) -> int:
        """Delete the lists that no account or domain refers to, with their bounces.

        Sources and pulls of absent accounts and domains go, too.

        The newest list stays, without bounces: SQLite would reuse its identifier for
        the next list, to which a concurrent request might write.

        :returns: the number of bounces deleted.
        """
        (newest,) = self._engine.fetch(self._newest)
        unnamed = self._engine.fetch(self._unnamed)
        deleted = {
            table: delete_rows(self._engine, table.bounce_list, unnamed)
            for table in LIST_TABLES
        }
        removed = [each for each in unnamed if each != newest]
        delete_rows(self._engine, BounceListRow.id, removed)
        for text in self._delete_ownerless:
            self._engine.execute(text)
        return deleted[BounceRow]

    def _count(self, text: str) -> int:
        """Return the number that the query *text* finds."""
        return int(self._engine.fetch(text)[0][0])
