"""Recent deletions, which hold against late copies of older events.

A deletion is recorded as its query, not as the addresses that it removed: deleting a
million bounces adds one row. Without a source, no deletion is recorded.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace

from sendgrid_bounces.core.bounces import Bounce, BounceQuery, fold
from sendgrid_bounces.core.sources import RETENTION
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.tables import DeletionRow, PullRow, SourceRow

#: Digests in one statement, and seconds that the clock of another server may be ahead.
CHUNK_SIZE, MAX_AHEAD = 500, 60 * 60

#: The address of a deletion that names none.
ANY_ADDRESS = ""

_NOTHING = BounceQuery()


class DeletionStore:
    """The recent deletions in one database."""

    _any = Compiled(
        lambda engine: [
            engine.compile(table.select(table.id).limit(1))
            for table in (SourceRow, PullRow)
        ]
    )
    _put = Compiled(
        lambda engine: engine.compile_upsert(
            DeletionRow, ("bounce_list", "address", "query")
        )
    )
    _purge = Compiled(
        lambda engine: engine.compile(
            DeletionRow.delete().where(
                (DeletionRow.deleted < 0) | (DeletionRow.deleted > 0)
            )
        )
    )

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def are_needed(self) -> bool:
        """Return whether a source or a pull exists, which could undo a deletion."""
        return any(self._engine.fetch(text, (1,)) for text in self._any)

    def add(self, bounce_list: int, queries: Iterable[BounceQuery], now: int) -> None:
        """Record a deletion at *now*, as a part of the current transaction."""
        rows = {
            (bounce_list, address, text): (bounce_list, address, text, now)
            for query in queries
            for text in (_conditions(query),)
            for address in map(digest, query.emails or (ANY_ADDRESS,))
        }
        self._engine.execute_many(self._put, list(rows.values()))
        self.purge(now)

    def purge(self, now: int) -> None:
        """Delete the records of deletions that are older than :data:`RETENTION`."""
        self._engine.execute(self._purge, (now - RETENTION, now + MAX_AHEAD))

    def find(self, bounce_list: int, bounces: Sequence[Bounce]) -> list[bool]:
        """Return whether a later deletion would have removed each of *bounces*."""
        addresses = [digest(bounce.email) for bounce in bounces]
        found: dict[str, list[tuple[BounceQuery, int]]] = {}
        for chunk in chunks([ANY_ADDRESS, *dict.fromkeys(addresses)]):
            query = DeletionRow.select(
                DeletionRow.address, DeletionRow.query, DeletionRow.deleted
            ).where(
                DeletionRow.bounce_list == bounce_list, DeletionRow.address.in_(chunk)
            )
            for address, text, deleted in self._engine.fetch_query(query):
                conditions = (_read_conditions(text), deleted)
                found.setdefault(address, []).append(conditions)
        return [
            any(
                bounce.created <= deleted and query.matches(bounce)
                for key in (ANY_ADDRESS, address)
                for query, deleted in found.get(key, ())
            )
            for bounce, address in zip(bounces, addresses, strict=True)
        ]


def digest(text: str) -> str:
    """Return the digest of an address in any letter case; empty for an empty text."""
    return hashlib.sha256(fold(text).encode()).hexdigest() if text else ""


def chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield *values* in lists that fit into one statement."""
    for start in range(0, len(values), CHUNK_SIZE):
        yield values[start : start + CHUNK_SIZE]


def _conditions(query: BounceQuery) -> str:
    """Return the conditions of *query* besides the addresses, as JSON."""
    conditions = {
        name: value
        for name, value in asdict(replace(query, emails=())).items()
        if value != getattr(_NOTHING, name)
    }
    return json.dumps(conditions, sort_keys=True)


def _read_conditions(text: str) -> BounceQuery:
    return BounceQuery(**json.loads(text))
