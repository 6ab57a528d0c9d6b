"""Snapshots: named copies of the state, kept in the same database.

Rows are kept in chunks of compressed JSON, each with the names of its columns. Only a
single chunk at a time is in memory.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import peewee

from sendgrid_bounces.core.contents import Snapshot
from sendgrid_bounces.core.errors import ConflictError, StorageError, UnknownNameError
from sendgrid_bounces.storage import sql
from sendgrid_bounces.storage.accounts import AccountStore
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.contents import SNAPSHOT_TABLES, ContentsStore
from sendgrid_bounces.storage.engine import Engine, Row
from sendgrid_bounces.storage.rows import delete_rows, read_rows
from sendgrid_bounces.storage.tables import (
    AccountRow,
    BounceListRow,
    BounceRow,
    DeletionRow,
    DomainRow,
    EventRow,
    PullRow,
    SnapshotChunkRow,
    SnapshotRow,
)

#: The maximum number of snapshots.
MAX_SNAPSHOTS = 100

#: The maximum number of rows in a chunk, and of bytes in a chunk of several rows. Every
#: MySQL server accepts a statement of this size.
CHUNK_ROWS, CHUNK_BYTES = 1_000, 512 * 1024

#: The tables in a snapshot by name, in the order in which they are restored.
TABLES_BY_NAME = {sql.table_name(table): table for table in SNAPSHOT_TABLES}

#: Tables without references to their rows, which get new identifiers when restored.
RENUMBERED = (DomainRow, BounceRow, EventRow, DeletionRow)

#: The column that refers to a list.
LIST_COLUMN = "bounce_list_id"


SNAPSHOT_COLUMNS = sql.columns_like(SnapshotRow, Snapshot)


class SnapshotStore:
    """The snapshots in a database."""

    _put = Compiled(lambda engine: engine.compile_upsert(SnapshotRow, ("name",)))
    _chunk = Compiled(
        lambda engine: engine.compile(
            SnapshotChunkRow.select(SnapshotChunkRow.data).where(
                SnapshotChunkRow.snapshot == 0, SnapshotChunkRow.position == 0
            )
        )
    )

    def __init__(self, engine: Engine, accounts: AccountStore) -> None:
        self._engine = engine
        self._accounts = accounts
        self._contents = ContentsStore(engine)

    def all(self) -> list[Snapshot]:
        """Return all snapshots in the order of their names."""
        query = SnapshotRow.select(*SNAPSHOT_COLUMNS).order_by(SnapshotRow.name)
        return [Snapshot(*row) for row in self._engine.fetch_query(query)]

    def take(self, name: str, now: int) -> Snapshot:
        """Store the current state as the snapshot *name*, new or replaced.

        :raises ConflictError: if there would be more than :data:`MAX_SNAPSHOTS`.
        """
        names = {snapshot.name for snapshot in self.all()}

        def take() -> Snapshot:
            # First a lock of the row: what the transaction sees begins with a query.
            self._engine.execute(self._put, (name, now, 0, 0, 0))
            snapshot = self._find(name)
            if name not in names and len(self.all()) > MAX_SNAPSHOTS:
                raise ConflictError(
                    f"there are already {MAX_SNAPSHOTS} snapshots: remove one of them"
                )
            # By identifiers: a range would keep out other snapshots until the end.
            replaced = SnapshotChunkRow.select(SnapshotChunkRow.id).where(
                SnapshotChunkRow.snapshot == snapshot
            )
            found = self._engine.fetch_query(replaced)
            delete_rows(self._engine, SnapshotChunkRow.id, found)
            stored = self._store(snapshot)
            amounts = [stored[table] for table in (AccountRow, DomainRow, BounceRow)]
            self._engine.execute(self._put, (name, now, *amounts))
            return Snapshot(name, now, *amounts)

        return self._engine.transact(take, consistent=True)

    def restore(self, name: str) -> None:
        """Replace the current state by the snapshot *name*.

        A source stays if its owner is the same account, or domain of the same account,
        with the same reseller.

        :raises UnknownNameError: if there is no such snapshot.
        """

        def restore() -> None:
            lock = SnapshotRow.update(name=name).where(SnapshotRow.name == name)
            self._engine.execute_query(lock)
            snapshot = self._find(name)
            owners = self._accounts.find_owners(self._contents.owners())
            self._contents.clear(SNAPSHOT_TABLES)
            lists: dict[int, int] = {}
            for position in count():
                chunks = self._engine.fetch(self._chunk, (snapshot, position))
                if not chunks:
                    break
                try:
                    chunk = json.loads(zlib.decompress(chunks[0][0]))
                except (ValueError, zlib.error) as error:
                    reason = f"the snapshot {name!r} is damaged: {error}"
                    raise StorageError(reason) from None
                self._restore_chunk(chunk, lists)
            self._contents.sweep()
            found = self._accounts.find_owners(owners)
            for owner, before in owners.items():
                if found.get(owner) != before:
                    self._contents.remove_owned(owner)
            # The next pull reads again what pulls have added since the snapshot.
            unknown = {"start": None, "end": None, "failed": None, "problem": ""}
            self._engine.execute_query(PullRow.update(unknown))

        self._accounts.transact(restore)

    def remove(self, name: str) -> None:
        """Remove the snapshot *name*.

        :raises UnknownNameError: if there is no such snapshot.
        """
        query = SnapshotRow.delete().where(SnapshotRow.name == name)
        if not self._engine.transact(lambda: self._engine.execute_query(query)):
            raise UnknownNameError("snapshot", name)

    def _find(self, name: str) -> int:
        """Return the identifier of the snapshot *name*."""
        query = SnapshotRow.select(SnapshotRow.id).where(SnapshotRow.name == name)
        for (identifier,) in self._engine.fetch_query(query):
            return int(identifier)
        raise UnknownNameError("snapshot", name)

    def _store(self, snapshot: int) -> dict[type[peewee.Model], int]:
        """Store the state as chunks of *snapshot*; return the rows of each table."""
        rows_of = dict.fromkeys(SNAPSHOT_TABLES, 0)
        positions = count()
        for name, table in TABLES_BY_NAME.items():
            fields = _stored_fields(table)
            columns = [field.column_name for field in fields]
            for rows in read_rows(self._engine, table, fields, CHUNK_ROWS):
                rows_of[table] += len(rows)
                for data in _compressed({"table": name, "columns": columns}, rows):
                    self._engine.insert(
                        SnapshotChunkRow,
                        snapshot=snapshot,
                        position=next(positions),
                        data=data,
                    )
        return rows_of

    def _restore_chunk(self, chunk: dict[str, Any], lists: dict[int, int]) -> None:
        """Insert the rows of *chunk*.

        :param lists: the new identifiers of lists by the identifiers in the snapshot;
            the method adds missing lists.
        """
        table, columns, rows = (
            TABLES_BY_NAME[chunk["table"]],
            chunk["columns"],
            chunk["rows"],
        )
        if LIST_COLUMN in columns:
            place = columns.index(LIST_COLUMN)
            for row in rows:
                if row[place] not in lists:
                    lists[row[place]] = self._engine.insert(BounceListRow)
                row[place] = lists[row[place]]
        fields = sql.fields_by_column(table)
        query = sql.insert(table, [fields[column] for column in columns])
        self._engine.execute_many(self._engine.compile(query), rows)


def _stored_fields(table: type[peewee.Model]) -> list[peewee.Field]:
    """Return the fields of *table* that a snapshot holds."""
    key = sql.primary_key(table)
    is_renumbered = table in RENUMBERED
    return [f for f in sql.fields_of(table) if not is_renumbered or f is not key]


def _compressed(head: dict[str, Any], rows: Sequence[Row]) -> Iterator[bytes]:
    """Yield *rows* as the data of a chunk, or of several chunks if rows are long."""
    text = json.dumps({**head, "rows": rows}, ensure_ascii=False)
    data = zlib.compress(text.encode(), 1)
    if len(data) <= CHUNK_BYTES or len(rows) == 1:
        yield data
        return
    middle = len(rows) // 2
    yield from _compressed(head, rows[:middle])
    yield from _compressed(head, rows[middle:])
