"""Find, count, delete and store the bounces on a list.

A long list is read in batches. Each batch is a short query that starts at the end of
the previous batch, so a slow reader holds no connection and no transaction.
"""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from sendgrid_bounces.core.bounces import (
    Bounce,
    BouncePage,
    BounceQuery,
    Position,
    classify,
    fold,
    successor,
)
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import ParametersError, StorageError
from sendgrid_bounces.storage.bounce_statements import (
    COUNT,
    DELETE,
    FIRST_KEYS,
    FIRST_KEYS_BRIEF,
    KEY_POSITION,
    LAST_KEYS,
    LIKE_ESCAPE,
    NEWEST_BY_KEY,
    NEWEST_FIRST,
    NEWEST_POSITION,
    OLDEST_FIRST,
    OLDEST_FIRST_BRIEF,
    OLDEST_POSITION,
    Statement,
    Walk,
    compile_statement,
)
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.deletions import ANY_ADDRESS, DeletionStore
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.lists import ListStore
from sendgrid_bounces.storage.spool import Spool
from sendgrid_bounces.storage.tables import BounceRow

#: Rows per batch. Larger batches are no faster and delay other requests.
BATCH_SIZE = 500

#: Rows that a search reads between two checks of its deadline.
SEARCH_SIZE = 20_000

#: Rows of one instant that are sorted by address for a page. If there are more, the
#: page is sought among as many of the first addresses of the list, and among all if
#: there are ten times as many.
MAX_SORTED = 10_000

#: Seconds after which a query ends that compares all addresses or statuses with a
#: pattern: less than a client of a database server waits.
SEARCH_TIMEOUT = 4

#: Seconds by which each row that a long search has found prolongs it.
SECONDS_PER_ROW = 0.0002

#: The least time in seconds for a query; databases count milliseconds.
MIN_SEARCH = 0.001

#: The filters of such a query.
PATTERNS = {"pattern", "email_globs", "status_glob"}

#: Globs in a query at most: SQLite limits the depth of a condition to 1,000.
MAX_GLOBS = 500

#: The filters of a range of time.
TIMES = {"created_from", "created_before"}

#: Query shapes to keep the SQL text of.
MAX_SHAPES = 256

#: The characters that SQL's LIKE would interpret, besides the wildcard of a pattern.
_LIKE_SPECIAL = re.compile(f"[_{re.escape(LIKE_ESCAPE)}]")

#: The pattern of each character of a glob, if it differs.
_WILDCARD = re.compile("[*?]")
_GLOB_PATTERN = str.maketrans(
    {"*": "%", "?": "_", **{c: LIKE_ESCAPE + c for c in ("%", "_", LIKE_ESCAPE)}}
)

#: A row: email, status, code, reason, reported, created, id.
BounceTuple = tuple[str, str, str, str, bool, int, int]

#: A brief row: email, status, reason, created, id.
BriefTuple = tuple[str, str, str, int, int]

#: The query without conditions.
EVERYTHING = BounceQuery()

#: The filters of a query: the values of each, by its name in :data:`BOUNCE_CONDITIONS`.
Filters = dict[str, Sequence[Any]]


def as_bounce(row: BounceTuple) -> Bounce:
    """Return the bounce of *row*."""
    email, status, code, reason, reported, created, _id = row
    return Bounce(email, status, code, reason, created, bool(reported))


@dataclass(frozen=True, slots=True)
class Search:
    """The rows that a search has found, in the order of their keys.

    :param stopped_at: the key to continue after, if the search ran out of time.
    """

    rows: list[BounceTuple]
    stopped_at: str | None = None


#: The fields that identify a bounce.
_KEYS = ("bounce_list", "key")


class BounceStore:
    """The bounces of a database. A list is named by its identifier."""

    _put = Compiled(lambda engine: engine.compile_upsert(BounceRow, _KEYS))
    _put_undated = Compiled(
        lambda engine: engine.compile_upsert(BounceRow, _KEYS, keep=("created",))
    )

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lists = ListStore(engine)
        self._deletions = DeletionStore(engine)
        self._compile = lru_cache(MAX_SHAPES)(partial(compile_statement, engine))

    def find(
        self,
        bounce_list: int,
        query: BounceQuery,
        limit: int | None = None,
        offset: int = 0,
        *,
        after: Position | None = None,
        newest_first: bool = False,
    ) -> Iterator[list[BounceTuple]]:
        """Return the bounces that match *query*, oldest first, in batches.

        A concurrent change may be visible or not. No row comes twice, and each row
        that exists throughout comes once unless its time changes meanwhile.

        :param after: the instant and the identifier of the row to start after.
        """
        walk = NEWEST_FIRST if newest_first else OLDEST_FIRST
        return self._walk(walk, bounce_list, query, limit, offset, after)

    def find_brief(
        self,
        bounce_list: int,
        query: BounceQuery,
        limit: int | None = None,
        offset: int = 0,
    ) -> Iterator[list[BriefTuple]]:
        """Return the same as :meth:`find`, as brief rows, which are faster to read."""
        return self._walk(OLDEST_FIRST_BRIEF, bounce_list, query, limit, offset)

    def find_newest(
        self, bounce_list: int, query: BounceQuery, limit: int, offset: int = 0
    ) -> list[BriefTuple]:
        """Return brief rows, newest first, and in the order of addresses in an instant.

        The index finds the instants of the first and the last row, so that only the
        rows between them are sorted. The index has no addresses: rows that a query
        selects by address are all sorted.
        """
        find = partial(self._find_newest, bounce_list, query, limit, offset)
        return self._engine.read_together(find)

    def _find_newest(
        self, bounce_list: int, query: BounceQuery, limit: int, offset: int
    ) -> list[BriefTuple]:
        filters = _filters(query)
        if query.emails or query.pattern:
            return self._fetch(NEWEST_BY_KEY, bounce_list, filters, limit, offset)
        first = self._fetch(NEWEST_POSITION, bounce_list, filters, 1, offset)
        if not first:
            return []
        newest, id_ = map(int, first[0])
        filters["created_before"] = (newest + 1,)
        later = {**filters, "created": (newest,), "id_after": (id_,)}
        skipped = int(self._fetch(COUNT, bounce_list, later)[0][0]) if offset else 0
        last = skipped + limit - 1
        if found := self._fetch(NEWEST_POSITION, bounce_list, filters, 1, last):
            filters["created_from"] = (int(found[0][0]),)
            rows = self._find_before_instant(bounce_list, filters, limit, skipped)
            if len(rows) == limit:
                return rows
        return self._fetch(NEWEST_BY_KEY, bounce_list, filters, limit, skipped)

    def _find_before_instant(
        self, bounce_list: int, filters: Filters, limit: int, offset: int
    ) -> list[BriefTuple]:
        """Return the rows of a page that ends at one of very many of one instant.

        An import can give a million rows the same instant, which would all be sorted.
        They are read in the order of their addresses instead: as many as there are if
        most of the list can have the instant, otherwise a few.

        :returns: fewer rows than *limit* if there are not so many of the instant, or
            if they are not found soon.
        """
        (oldest,), (end,) = filters["created_from"], filters["created_before"]
        others = {name: some for name, some in filters.items() if name not in TIMES}
        same = {**others, "created": (oldest,)}
        if not self._has_row_at(bounce_list, same, MAX_SORTED):
            return []
        rows: list[BriefTuple] = []
        if oldest + 1 < end:
            newer = {**filters, "created_from": (oldest + 1,)}
            rows = self._fetch(NEWEST_BY_KEY, bounce_list, newer, limit, offset)
            offset = 0
        if not self._has_row_at(bounce_list, same, MAX_SORTED * 10):
            last = MAX_SORTED + offset
            if found := self._fetch(KEY_POSITION, bounce_list, {}, 1, last):
                same["key_to"] = found[0]
        size = limit - len(rows)
        return rows + self._fetch(FIRST_KEYS_BRIEF, bounce_list, same, size, offset)

    def _has_row_at(self, bounce_list: int, filters: Filters, offset: int) -> bool:
        """Return whether more than *offset* rows match; the index of time has them."""
        text, values = self._prepare(NEWEST_POSITION, bounce_list, filters)
        return bool(self._engine.fetch(text, (*values, 1, offset)))

    def page(
        self,
        bounce_list: int,
        page: BouncePage,
        limit: int,
        query: BounceQuery = EVERYTHING,
    ) -> list[BounceTuple]:
        """Return the rows of *page* that match *query*, in the order of their keys.

        A page begins at a key instead of an offset, so earlier changes do not move the
        page, and a page far from the start costs as much as the first.
        """
        filters = _filters(query)
        filters |= _prefix_filters(fold(page.prefix)) if page.prefix else {}
        if page.pivot is not None:
            bound = "key_before" if page.backwards else "key_after"
            values = [fold(page.pivot), *filters.get(bound, ())]
            filters[bound] = (min(values),)
        statement = LAST_KEYS if page.backwards else FIRST_KEYS
        rows = self._fetch(statement, bounce_list, filters, limit)
        return rows[::-1] if page.backwards else rows

    def search(
        self,
        bounce_list: int,
        query: BounceQuery,
        limit: int,
        after: str | None = None,
        seconds: float = 1.0,
    ) -> Search:
        """Return at most *limit* rows that match, in the order of their keys.

        For a query that no index answers. The list is read in parts, until there are
        enough rows or the time is over.

        :param after: the address to start after.
        :param seconds: the time after which no other part is read.
        """
        filters, rows = _filters(query), list[BounceTuple]()
        deadline = time.monotonic() + seconds
        start: Filters = {} if after is None else {"key_after": (fold(after),)}
        while True:
            end = self._fetch(KEY_POSITION, bounce_list, start, 1, SEARCH_SIZE - 1)
            part = {**filters, **start, **({"key_to": end[0]} if end else {})}
            rows += self._fetch(FIRST_KEYS, bounce_list, part, limit - len(rows))
            if len(rows) >= limit or not end:
                return Search(rows)
            if time.monotonic() >= deadline:
                return Search(rows, str(end[0][0]))
            start = {"key_after": end[0]}

    def count_up_to(self, bounce_list: int, email: str) -> int:
        """Return the number of bounces with keys up to that of *email*."""
        filters: Filters = {"key_to": (fold(email),)}
        return int(self._fetch(COUNT, bounce_list, filters)[0][0])

    def has_more_than(self, bounce_list: int, number: int) -> bool:
        """Return whether the list is longer, without counting all of it."""
        return bool(self._fetch(OLDEST_POSITION, bounce_list, {}, 1, number))

    def count(self, bounce_list: int, query: BounceQuery) -> int:
        """Return the number of bounces that match *query*."""
        number = int(self._fetch(COUNT, bounce_list, _filters(query))[0][0])
        if not number:
            self._lists.check(bounce_list)
        return number

    def delete(self, bounce_list: int, *queries: BounceQuery, clock: Clock) -> int:
        """Delete the bounces that match any of *queries* in one transaction.

        If there are sources, the deletion is recorded, so that a late copy of an event
        does not undo it.

        :returns: the number of deleted bounces.
        :raises ValueError: if a query has patterns, which no record of a deletion has.
        """
        if any(query.has_patterns for query in queries):
            raise ValueError("a deletion must not have patterns")
        deletions, now = self._deletions, clock.now()

        def delete_all() -> int:
            delete = self._delete
            if deletions.are_needed():
                deletions.lock(bounce_list)
                delete = partial(self._delete_and_record, now=now)
            deleted = sum(delete(bounce_list, query) for query in queries)
            if not deleted:
                self._lists.check(bounce_list)
            return deleted

        deleted = self._engine.transact(delete_all)
        added = deleted if any(query.emails for query in queries) else 1
        with suppress(StorageError):  # a later request purges the rest
            deletions.purge(now, added)
        return deleted

    def put(
        self, bounce_list: int, bounces: Iterable[Bounce], *, redate: bool = True
    ) -> int:
        """Add *bounces* in one transaction, replacing bounces with the same addresses.

        All of *bounces* is consumed before the transaction begins, so a slow iterator
        does not delay other writers. Many rows wait in a temporary file.

        :param redate: whether to replace the instant, too.
        :returns: the number of *bounces*.
        :raises ParametersError: if iterating over *bounces* does; nothing is stored.
        :raises StorageError: if the list was removed or replaced meanwhile.
        """
        text = self._put if redate else self._put_undated
        rows = map(partial(upsert_values, bounce_list), bounces)
        with closing(Spool(rows)) as spool:

            def store() -> int:
                stored = 0
                try:
                    for chunk in spool.chunks():
                        self._engine.execute_many(text, _last_of_each_key(chunk))
                        stored += len(chunk)
                except StorageError as error:
                    raise self._lists.explain(error) from error
                self._lists.check(bounce_list)
                return stored

            return self._engine.transact(store)

    def _delete(self, bounce_list: int, query: BounceQuery) -> int:
        text, values = self._prepare(DELETE, bounce_list, _filters(query))
        return self._engine.execute_delete(text, values)

    def _delete_and_record(self, bounce_list: int, query: BounceQuery, now: int) -> int:
        """Delete the bounces that match, and record the deletion if there are any."""
        deletions = self._deletions
        if query.emails:
            for rows in self._walk(OLDEST_FIRST_BRIEF, bounce_list, query):
                deletions.add(bounce_list, query, [row[0] for row in rows], now)
        deleted = self._delete(bounce_list, query)
        if deleted and not query.emails:
            deletions.add(bounce_list, query, [ANY_ADDRESS], now)
        return deleted

    def _walk(
        self,
        walk: Walk,
        bounce_list: int,
        query: BounceQuery,
        limit: int | None = None,
        offset: int = 0,
        after: Position | None = None,
    ) -> Iterator[list[Any]]:
        """Yield the batches of *walk*. A row ends in created and id."""
        filters = _filters(query)
        ranges = [filters] if after is None else _ranges(walk, filters, *after)
        if offset:
            position = self._position(walk, bounce_list, ranges, offset)
            if position is None:
                return
            ranges = _ranges(walk, filters, *position)
        seconds = float(SEARCH_TIMEOUT)
        while limit is None or limit > 0:
            size = BATCH_SIZE if limit is None else min(BATCH_SIZE, limit)
            wanted = size + 1  # one more row shows where the next batch begins
            began = time.monotonic()
            fetch = partial(self._fetch, walk.rows, bounce_list, seconds=seconds)
            rows = fetch(ranges[0], wanted)
            if len(ranges) > 1 and len(rows) < wanted:
                rows += fetch(ranges[1], wanted - len(rows))
            seconds -= time.monotonic() - began - len(rows) * SECONDS_PER_ROW
            if rows:
                yield rows[:size]
            if len(rows) <= size:
                return
            limit = None if limit is None else limit - size
            (created, id_), (next_created, _) = rows[-2][-2:], rows[-1][-2:]
            ranges = _ranges(walk, filters, created, id_)
            if next_created != created:
                del ranges[:-1]

    def _position(
        self, walk: Walk, bounce_list: int, ranges: Sequence[Filters], offset: int
    ) -> tuple[int, int] | None:
        """Return the instant and the identifier of the row before an *offset*."""
        for part in ranges:
            found = self._fetch(walk.position, bounce_list, part, 1, offset - 1)
            if found:
                return int(found[0][0]), int(found[0][1])
            if part is not ranges[-1]:
                offset -= int(self._fetch(COUNT, bounce_list, part)[0][0])
        return None

    def _fetch(
        self,
        statement: Statement,
        bounce_list: int,
        filters: Filters,
        *bounds: int,
        seconds: float | None = None,
    ) -> list[Any]:
        """Run *statement*.

        :param bounds: limit and offset, for a statement with these.
        :param seconds: that a search may take; None for :data:`SEARCH_TIMEOUT`.
        :raises StorageError: if the filters need a search that takes too long.
        """
        text, values = self._prepare(statement, bounce_list, filters)
        values += bounds
        if PATTERNS.isdisjoint(filters):
            rows = self._engine.fetch(text, values)
        else:
            limit = SEARCH_TIMEOUT if seconds is None else max(seconds, MIN_SEARCH)
            rows = self._engine.search(text, values, limit)
        if not rows:
            self._lists.check(bounce_list)
        return rows

    def _prepare(
        self, statement: Statement, bounce_list: int, filters: Filters
    ) -> tuple[str, list[Any]]:
        """Return the SQL text of *statement* and its values."""
        shape, values = [], [bounce_list]
        for name, some in filters.items():
            shape.append((name, len(some)))
            values += some
        return self._compile(statement, tuple(shape)), values


def _filters(query: BounceQuery) -> Filters:
    """Return the filters that *query* sets."""
    filters: Filters = {}
    for name in ("created_from", "created_before", "type", "excluded_type"):
        number = getattr(query, name)
        if number is not None:
            filters[name] = (int(number),)
    if query.emails:
        filters["emails"] = [fold(email) for email in query.emails]
    if query.pattern:
        is_first = "emails" not in filters
        filters |= _pattern_filters(fold(query.pattern), looks_up=is_first)
    if query.email_globs:
        is_first = "emails" not in filters
        globs = [*map(fold, query.email_globs)]
        filters = {**_glob_filters(globs, looks_up=is_first), **filters}
    if query.status_glob:
        filters["status_glob"] = (_status_pattern(query.status_glob),)
    return filters


def _ranges(walk: Walk, filters: Filters, created: int, id_: int) -> list[Filters]:
    """Return the filters of the rows that come after a position.

    They are the other rows of its instant, and the rows of later or earlier instants:
    an index finds the beginning of both. One condition for both columns would read all
    rows of the instant.
    """
    (start,) = filters.get("created_from", (created,))
    (end,) = filters.get("created_before", (created + 1,))
    if walk.is_ascending:
        beyond = {**filters, "created_from": (max(start, created + 1),)}
        id_filter = "id_after"
    else:
        beyond = {**filters, "created_before": (min(end, created),)}
        id_filter = "id_before"
    if not start <= created < end:
        return [beyond]
    same = {name: some for name, some in filters.items() if name not in TIMES}
    return [{**same, "created": (created,), id_filter: (id_,)}, beyond]


def _glob_filters(globs: Sequence[str], *, looks_up: bool) -> Filters:
    """Return the filters of *globs*.

    :param looks_up: whether addresses without wildcards are looked up.
    :raises ParametersError: if there are more than :data:`MAX_GLOBS` patterns.
    """
    if looks_up and not any({"*", "?"} & {*glob} for glob in globs):
        return {"emails": globs}
    if len(globs) > MAX_GLOBS:
        rule = f"must be at most {MAX_GLOBS} patterns (got {len(globs)})"
        raise ParametersError([("email", rule)])
    prefix = _WILDCARD.split(globs[0])[0] if len(globs) == 1 else ""
    return {
        **(_prefix_filters(prefix) if prefix else {}),
        "email_globs": [_glob_pattern(glob) for glob in globs],
    }


def _status_pattern(glob: str) -> str:
    """Return *glob* as a pattern of a status.

    :raises ParametersError: if it is not ASCII text. Of other letters, SQLite and
        MariaDB know different upper and lower cases.
    """
    if not glob.isascii():
        raise ParametersError([("status", f"must be ASCII text (got {glob!r})")])
    return _glob_pattern(glob)


def _glob_pattern(glob: str) -> str:
    """Return *glob* as a pattern of LIKE."""
    return glob.translate(_GLOB_PATTERN)


def _prefix_filters(prefix: str) -> Filters:
    """Return the range of the keys that begin with *prefix*, for the index."""
    end = successor(prefix)
    return {"key_from": (prefix,), **({"key_before": (end,)} if end else {})}


def _pattern_filters(pattern: str, *, looks_up: bool) -> Filters:
    """Return the filters of *pattern*: a range for its prefix, a scan for the rest.

    :param looks_up: whether an address without a wildcard is looked up.
    """
    prefix, wildcard, rest = pattern.partition("%")
    if looks_up and not wildcard:
        return {"emails": [prefix]}
    filters = _prefix_filters(prefix) if prefix else {}
    if not wildcard or rest.strip("%"):
        filters["pattern"] = (_LIKE_SPECIAL.sub(rf"{LIKE_ESCAPE}\g<0>", pattern),)
    return filters


def _last_of_each_key(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the last of the *rows* of each address, which replaces earlier rows."""
    return [*{row[1]: row for row in rows}.values()]


def upsert_values(bounce_list: int, bounce: Bounce) -> tuple[Any, ...]:
    """Return the values of an upsert, in the order of the table's columns."""
    return (
        bounce_list,
        fold(bounce.email),
        bounce.email,
        bounce.status,
        bounce.code,
        bounce.reason,
        int(classify(bounce.status)),
        bounce.created,
        bounce.reported,
    )
