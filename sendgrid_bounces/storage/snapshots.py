"""Snapshots: the state of a database, kept in it under a name.

Rows are kept in chunks of compressed JSON, each with the names of its columns. One
chunk at a time is in memory, whatever a snapshot holds.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import peewee

from sendgrid_bounces.core.errors import ConflictError, UnknownNameError
from sendgrid_bounces.storage.contents import STATE, ContentsStore
from sendgrid_bounces.storage.engine import Engine, Row
from sendgrid_bounces.storage.tables import (
    AccountRow,
    BounceListRow,
    BounceRow,
    DomainRow,
    SnapshotChunkRow,
    SnapshotRow,
)

#: How many snapshots there may be.
MAX_SNAPSHOTS = 100

#: Rows in a chunk, unless they are long, and bytes in one, which a MySQL server takes
#: in one statement whatever its settings are.
CHUNK_ROWS, CHUNK_BYTES = 1_000, 512 * 1024

#: The tables that are kept, in the order they are restored in: as :data:`STATE`.
TABLES = {table._meta.table_name: table for table in STATE}  # noqa: SLF001 - where peewee keeps it

#: Tables whose rows get new identifiers when they are restored: nothing refers to them.
RENUMBERED = (DomainRow, BounceRow)

#: The column that names a list.
LIST = "bounce_list_id"

_COLUMNS = (
    SnapshotRow.name,
    SnapshotRow.created,
    SnapshotRow.accounts,
    SnapshotRow.domains,
    SnapshotRow.bounces,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a snapshot.

    :param created: the instant when it was taken.
    """

    name: str
    created: int
    accounts: int
    domains: int
    bounces: int


class SnapshotStore:
    """The snapshots in one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._contents = ContentsStore(engine)
        self._put = engine.upsert(SnapshotRow, ("name",))
        chunk = SnapshotChunkRow.select(SnapshotChunkRow.data)
        self._chunk = engine.text(
            chunk.where(SnapshotChunkRow.snapshot == 0, SnapshotChunkRow.position == 0)
        )

    def all(self) -> list[Snapshot]:
        """Return all snapshots, by name."""
        query = SnapshotRow.select(*_COLUMNS).order_by(SnapshotRow.name)
        return [Snapshot(*row) for row in self._engine.select(query)]

    def take(self, name: str, now: int) -> Snapshot:
        """Keep the state of this moment under *name*, in place of what is there.

        :raises ConflictError: if there are too many.
        """

        def act() -> Snapshot:
            self._engine.change(self._put, (name, now, 0, 0, 0))  # others wait now
            snapshot = self._find(name)
            if len(self.all()) > MAX_SNAPSHOTS:
                raise ConflictError(
                    f"there are {MAX_SNAPSHOTS} snapshots already: remove one of them"
                )
            mine = SnapshotChunkRow.snapshot == snapshot
            self._engine.execute(SnapshotChunkRow.delete().where(mine))
            kept = self._keep(snapshot)
            amounts = [kept[table] for table in (AccountRow, DomainRow, BounceRow)]
            self._engine.change(self._put, (name, now, *amounts))
            return Snapshot(name, now, *amounts)

        return self._engine.transact(act, consistent=True)

    def restore(self, name: str) -> None:
        """Make the state what it was when the snapshot *name* was taken.

        :raises UnknownNameError: if there is none.
        """

        def act() -> None:
            same = SnapshotRow.update(name=name).where(SnapshotRow.name == name)
            self._engine.execute(same)  # who would replace it waits now
            snapshot = self._find(name)
            self._contents.wipe(STATE)
            lists: dict[int, int] = {}
            for position in count():
                chunks = self._engine.fetch(self._chunk, (snapshot, position))
                if not chunks:
                    break
                self._put_back(json.loads(zlib.decompress(chunks[0][0])), lists)
            self._contents.sweep()

        self._engine.transact(act)

    def remove(self, name: str) -> None:
        """Remove the snapshot *name*.

        :raises UnknownNameError: if there is none.
        """
        query = SnapshotRow.delete().where(SnapshotRow.name == name)
        if not self._engine.transact(lambda: self._engine.execute(query)):
            raise UnknownNameError("snapshot", name)

    def _find(self, name: str) -> int:
        """Return the identifier of the snapshot *name*."""
        query = SnapshotRow.select(SnapshotRow.id).where(SnapshotRow.name == name)
        for (identifier,) in self._engine.select(query):
            return int(identifier)
        raise UnknownNameError("snapshot", name)

    def _keep(self, snapshot: int) -> dict[type[peewee.Model], int]:
        """Store the state as chunks of *snapshot*; return how many rows of what."""
        rows_of = dict.fromkeys(STATE, 0)
        positions = count()
        for name, table in TABLES.items():
            columns = [field.column_name for field in _fields(table)]
            for rows in self._read(table):
                rows_of[table] += len(rows)
                for data in _packed({"table": name, "columns": columns}, rows):
                    self._engine.insert(
                        SnapshotChunkRow,
                        snapshot=snapshot,
                        position=next(positions),
                        data=data,
                    )
        return rows_of

    def _read(self, table: type[peewee.Model]) -> Iterator[list[Row]]:
        """Yield the rows of *table*, in the order of their identifiers."""
        key = table._meta.primary_key  # noqa: SLF001 - where peewee keeps it
        query = table.select(key, *_fields(table)).where(key > 0).order_by(key)
        text, last = self._engine.text(query.limit(CHUNK_ROWS)), 0
        while rows := self._engine.fetch(text, (last, CHUNK_ROWS)):
            last = rows[-1][0]
            yield [row[1:] for row in rows]

    def _put_back(self, chunk: dict[str, Any], lists: dict[int, int]) -> None:
        """Store the rows of *chunk*.

        :param lists: the lists of today by those of the snapshot; new ones are added.
        """
        table, columns, rows = TABLES[chunk["table"]], chunk["columns"], chunk["rows"]
        if LIST in columns:
            place = columns.index(LIST)
            for row in rows:
                if row[place] not in lists:
                    lists[row[place]] = self._engine.insert(BounceListRow)
                row[place] = lists[row[place]]
        known = table._meta.columns  # noqa: SLF001 - where peewee keeps them
        query = table.insert({known[column]: 0 for column in columns})
        self._engine.change_many(self._engine.text(query), rows)


def _fields(table: type[peewee.Model]) -> list[peewee.Field]:
    """Return the fields of *table* that are kept, in the order of its columns."""
    meta = table._meta  # noqa: SLF001 - where peewee keeps them
    return [
        field
        for field in meta.sorted_fields
        if table not in RENUMBERED or field is not meta.primary_key
    ]


def _packed(head: dict[str, Any], rows: Sequence[Row]) -> Iterator[bytes]:
    """Yield *rows* as the data of chunks: one, or more if they are long."""
    text = json.dumps({**head, "rows": rows}, ensure_ascii=False)
    data = zlib.compress(text.encode(), 1)
    if len(data) <= CHUNK_BYTES or len(rows) == 1:
        yield data
        return
    middle = len(rows) // 2
    yield from _packed(head, rows[:middle])
    yield from _packed(head, rows[middle:])
