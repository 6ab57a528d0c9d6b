"""Recent deletions: an event that is older than one is not added again.

A deletion of addresses is recorded for each address that it removed. Another deletion
is recorded as its conditions: deleting a million bounces adds one row. A list has a
limited number of these, since each request of a source reads all. Without a source, no
deletion is recorded.
"""

import hashlib
import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from itertools import accumulate

from sendgrid_bounces.core.bounces import EARLIEST, Bounce, BounceQuery, fold
from sendgrid_bounces.core.sources import RETENTION
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.rows import chunks, delete_rows, purge_rows
from sendgrid_bounces.storage.sql import COUNT_ALL, outside
from sendgrid_bounces.storage.tables import (
    BounceListRow,
    DeletionRow,
    PullRow,
    SourceRow,
)

#: Seconds that the clock of another server may be ahead.
MAX_AHEAD = 60 * 60

#: The address of a deletion that is recorded as its conditions.
ANY_ADDRESS = ""

#: How many deletions of a list are recorded as conditions; more replace the oldest.
MAX_CONDITIONS = 5_000

_NOTHING = BounceQuery()


_HAS_CONDITIONS = (DeletionRow.bounce_list == 0) & (DeletionRow.address == ANY_ADDRESS)


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
    _number = Compiled(
        lambda engine: engine.compile(
            DeletionRow.select(COUNT_ALL).where(_HAS_CONDITIONS)
        )
    )
    _oldest = Compiled(
        lambda engine: engine.compile(
            DeletionRow.select(DeletionRow.id)
            .where(_HAS_CONDITIONS)
            .order_by(DeletionRow.deleted)
            .limit(1)
        )
    )
    _lock = Compiled(
        lambda engine: engine.compile(
            BounceListRow.update(id=0).where(BounceListRow.id == 0)
        )
    )
    _expired = Compiled(lambda engine: engine.compile(outside(DeletionRow.deleted)))

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def are_needed(self) -> bool:
        """Return whether a source or a pull exists, which could undo a deletion."""
        return any(self._engine.fetch(text, (1,)) for text in self._any)

    def lock(self, bounce_list: int) -> None:
        """Keep out other transactions that record or find deletions of a list.

        A transaction does so first; otherwise two can wait for each other.
        """
        self._engine.execute(self._lock, (bounce_list, bounce_list))

    def add(
        self, bounce_list: int, query: BounceQuery, emails: Sequence[str], now: int
    ) -> None:
        """Record a deletion at *now*, as a part of the current transaction.

        :param emails: the addresses that it removed, or :data:`ANY_ADDRESS`.
        """
        text = _conditions(query)
        rows = [(bounce_list, digest(email), text, now) for email in emails]
        self._engine.execute_many(self._put, rows)
        if ANY_ADDRESS in emails:
            self._forget_oldest(bounce_list)

    def purge(self, now: int, added: int) -> None:
        """Delete records of deletions that are older than :data:`RETENTION`.

        :param added: the largest number of records that the request adds.
        """
        bounds = (now - RETENTION, now + MAX_AHEAD)
        purge_rows(self._engine, DeletionRow.deleted, self._expired, bounds, added)

    def find(self, bounce_list: int, bounces: Sequence[Bounce]) -> list[bool]:
        """Return whether a later deletion would have removed each of *bounces*."""
        if not bounces:
            return []
        addresses = [digest(bounce.email) for bounce in bounces]
        found: dict[str, Deletions] = defaultdict(Deletions)
        for chunk in chunks([ANY_ADDRESS, *dict.fromkeys(addresses)]):
            query = DeletionRow.select(
                DeletionRow.address, DeletionRow.query, DeletionRow.deleted
            ).where(
                DeletionRow.bounce_list == bounce_list, DeletionRow.address.in_(chunk)
            )
            for address, text, deleted in self._engine.fetch_query(query):
                found[address].add(_read_conditions(text), deleted)
        return [
            any(
                found[key].include(bounce)
                for key in (ANY_ADDRESS, address)
                if key in found
            )
            for bounce, address in zip(bounces, addresses, strict=True)
        ]

    def _forget_oldest(self, bounce_list: int) -> None:
        """Delete the oldest records of conditions if there are too many."""
        key = (bounce_list, ANY_ADDRESS)
        number = self._engine.fetch(self._number, key)[0][0]
        if number > MAX_CONDITIONS:
            surplus = number - MAX_CONDITIONS + MAX_CONDITIONS // 10  # not each time
            oldest = self._engine.fetch(self._oldest, (*key, surplus))
            delete_rows(self._engine, DeletionRow.id, oldest)


class Deletions:
    """Recorded deletions of a list, or of an address on it.

    Each removed the bounces of a range of time that met other conditions. Thousands of
    ranges and few other conditions are normal, so a bounce is looked up in the ranges.
    """

    def __init__(self) -> None:
        self._ranges: dict[BounceQuery, list[tuple[int, int]]] = {}

    def add(self, query: BounceQuery, deleted: int) -> None:
        """Add a deletion by *query* at the instant *deleted*."""
        start = EARLIEST if query.created_from is None else query.created_from
        end = deleted + 1
        if query.created_before is not None:
            end = min(end, query.created_before)
        others = replace(query, created_from=None, created_before=None)
        self._ranges.setdefault(others, []).append((start, end))

    def include(self, bounce: Bounce) -> bool:
        """Return whether a deletion would have removed *bounce*."""
        return any(
            _is_in(bounce.created, *bounds)
            and others.type in (None, bounce.type)
            and others.excluded_type != bounce.type
            for others, bounds in self._bounds.items()
        )

    @cached_property
    def _bounds(self) -> dict[BounceQuery, tuple[list[int], list[int]]]:
        """By conditions: the sorted starts of periods, and the latest end so far."""
        bounds = {}
        for others, ranges in self._ranges.items():
            starts, ends = zip(*sorted(ranges), strict=True)
            bounds[others] = ([*starts], [*accumulate(ends, max)])
        return bounds


def digest(text: str) -> str:
    """Return the digest of an address in any letter case; empty for an empty text."""
    return hashlib.sha256(fold(text).encode()).hexdigest() if text else ""


def _is_in(instant: int, starts: Sequence[int], latest_ends: Sequence[int]) -> bool:
    """Return whether a range that starts before *instant* ends after it."""
    number = bisect_right(starts, instant)
    return number > 0 and instant < latest_ends[number - 1]


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
