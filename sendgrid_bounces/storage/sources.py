"""Sources, and the events that lists receive from them."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Any

import peewee

from sendgrid_bounces.core.bounces import fold
from sendgrid_bounces.core.errors import (
    ConflictError,
    NameTakenError,
    StorageError,
    UnknownNameError,
)
from sendgrid_bounces.core.sources import (
    COUNTERS,
    RETENTION,
    ReceivedBounce,
    Source,
    SourceCounts,
    SourceSettings,
    SourceSummary,
    read_settings,
)
from sendgrid_bounces.storage.bounces import upsert_values
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.deletions import MAX_AHEAD, DeletionStore
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.lists import ListStore
from sendgrid_bounces.storage.rows import chunks, purge_rows
from sendgrid_bounces.storage.sql import COUNT_ALL, outside
from sendgrid_bounces.storage.tables import (
    BounceRow,
    EventRow,
    SourceRow,
)

#: The maximum number of sources.
MAX_SOURCES = 1_000

#: Seconds that the note of a refusal waits for other writers before it is dropped.
TIMEOUT = 5

#: Characters kept of a problem and of a URL.
MAX_PROBLEM, MAX_URL = 500, 2_000

_CONFIGURATION = (SourceRow.id, SourceRow.name, SourceRow.owner, SourceRow.kind)
_ACTIVITY = (
    SourceRow.last_event,
    SourceRow.last_problem,
    SourceRow.problem,
    SourceRow.confirm_url,
)
SOURCE_COLUMNS = (
    *_CONFIGURATION,
    SourceRow.settings,
    *(getattr(SourceRow, name) for name in COUNTERS),
    *_ACTIVITY,
)


class SourceStore:
    """The sources of one database, and the keys of their events."""

    _summary = Compiled(
        lambda engine: engine.compile(
            SourceRow.select(
                COUNT_ALL,
                peewee.fn.SUM(SourceRow.refused),
                peewee.fn.MAX(SourceRow.last_event),
            )
        )
    )
    _find = Compiled(
        lambda engine: engine.compile(
            SourceRow.select(*SOURCE_COLUMNS).where(SourceRow.name == "")
        )
    )
    _put_bounce = Compiled(
        lambda engine: engine.compile_upsert(BounceRow, ("bounce_list", "key"))
    )
    _put_event = Compiled(
        lambda engine: engine.compile_upsert(EventRow, ("bounce_list", "digest"))
    )
    _expired = Compiled(lambda engine: engine.compile(outside(EventRow.seen)))

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._relaxed = engine.relaxed(TIMEOUT)
        self._lists = ListStore(engine)
        self._deletions = DeletionStore(engine)
        #: Requests that were refused, and are not counted yet: their number, and the
        #: problem and the instant of the last, by source.
        self._refused: dict[str, tuple[int, str, int]] = {}
        self._lock_of_refused, self._counting = Lock(), Lock()

    def all(self) -> list[Source]:
        """Return all sources in the order of their names."""
        query = SourceRow.select(*SOURCE_COLUMNS).order_by(SourceRow.name)
        return [_source(row) for row in self._engine.fetch_query(query)]

    def summary(self) -> SourceSummary:
        """Return the number of sources and their activity."""
        ((number, refused, last_event),) = self._engine.fetch(self._summary)
        return SourceSummary(number, int(refused or 0), last_event)

    def find(self, name: str) -> Source | None:
        """Return the source *name*, if it exists."""
        rows = self._engine.fetch(self._find, (name,))
        return _source(rows[0]) if rows else None

    def get(self, name: str) -> Source:
        """Return the source *name*.

        :raises UnknownNameError: if it does not exist.
        """
        source = self.find(name)
        if source is None:
            raise UnknownNameError("source", name)
        return source

    def add(self, name: str, owner: str, kind: str, settings: SourceSettings) -> Source:
        """Add a source.

        :raises NameTakenError: if it already exists.
        :raises ConflictError: if there would be more than :data:`MAX_SOURCES`.
        """

        def add() -> Source:
            if self.find(name):
                raise NameTakenError(f"source {name!r} already exists")
            if self.summary().number >= MAX_SOURCES:
                raise ConflictError(f"there are already {MAX_SOURCES} sources")
            self._engine.insert(
                SourceRow,
                name=name,
                owner=owner,
                kind=kind,
                settings=json.dumps(settings.as_dict()),
            )
            return self.get(name)

        return self._engine.transact(add)

    def change(self, name: str, settings: SourceSettings) -> None:
        """Replace the settings of the source *name*."""
        query = SourceRow.update(settings=json.dumps(settings.as_dict()))
        query = query.where(SourceRow.name == name)
        self._engine.transact(lambda: self._engine.execute_query(query))

    def remove(self, name: str) -> None:
        """Remove the source *name*.

        :raises UnknownNameError: if it does not exist.
        """
        query = SourceRow.delete().where(SourceRow.name == name)
        if not self._engine.transact(lambda: self._engine.execute_query(query)):
            raise UnknownNameError("source", name)

    def purge(self, now: int, system: int, added: int) -> None:
        """Delete expired keys and records of deletions, some of them if there are many.

        :param system: the system time, which decides how long a key is kept.
        :param added: how many keys the request adds at most.
        """
        bounds = (system - RETENTION, system + MAX_AHEAD)
        purge_rows(self._engine, EventRow.seen, self._expired, bounds, added)
        self._deletions.purge(now, 0)

    def receive(
        self,
        bounce_list: int,
        bounces: Sequence[ReceivedBounce],
        keys: Iterable[str],
        now: int,
        system: int | None = None,
    ) -> list[bool]:
        """Add the *bounces* that are new to a list, in one transaction.

        An event has no effect if its key is recorded, if the bounce of its address is
        newer, or if a later deletion would have removed it.

        :param keys: further keys to record.
        :param system: the system time, if it can differ from *now*. It decides how long
            a key is kept, so that no change of the clock lets a repeat pass.
        :returns: for each of *bounces* whether the list now has it.
        :raises StorageError: if the list was removed or replaced meanwhile.
        """

        def receive() -> list[bool]:
            # Concurrent requests must not miss each other's keys and deletions.
            self._deletions.lock(bounce_list)
            received_at = now if system is None else system
            digests = [_digest(received.key) for received in bounces]
            more = [_digest(key) for key in keys]
            seen = self._seen(bounce_list, digests)
            deleted = self._deletions.find(bounce_list, [r.bounce for r in bounces])
            stored = self._stored(bounce_list, bounces)
            listed, changed = [], {}
            for received, event, is_deleted in zip(
                bounces, digests, deleted, strict=True
            ):
                is_news = not is_deleted and event not in seen
                key = fold(received.bounce.email)
                is_news = is_news and _is_newer(received, stored.get(key))
                listed.append(is_news)
                if event:
                    seen.add(event)
                if is_news:
                    stored[key] = received.bounce.created
                    changed[key] = upsert_values(bounce_list, received.bounce)
            recorded = dict.fromkeys(filter(None, [*digests, *more]))
            rows = [(bounce_list, event, received_at) for event in recorded]
            try:
                self._engine.execute_many(self._put_bounce, list(changed.values()))
                self._engine.execute_many(self._put_event, rows)
            except StorageError as error:
                raise self._lists.explain(error) from error
            self._lists.check(bounce_list)
            return listed

        return self._engine.transact(receive)

    def record(
        self,
        name: str,
        counts: SourceCounts,
        now: int,
        *,
        problem: str = "",
        confirm_url: str | None = None,
    ) -> None:
        """Count a verified request or a mail, as a part of the current transaction.

        :param problem: the first unreadable element, if there is one.
        :param confirm_url: the new URL; None keeps the old one.
        """
        values: dict[str, Any] = {"last_event": now}
        if problem:
            values |= {"last_problem": now, "problem": problem[:MAX_PROBLEM]}
        if confirm_url is not None:
            values["confirm_url"] = confirm_url[:MAX_URL]
        self._count(self._engine, name, counts, values)

    def refuse(self, name: str, problem: str, now: int) -> None:
        """Count a request that was not accepted.

        Anyone can send such requests, so one thread at a time waits for the database,
        and counts the requests of the other threads, too.

        :raises StorageError: if the database is busy for :data:`TIMEOUT` seconds.
        """
        with self._lock_of_refused:
            number, _, _ = self._refused.get(name, (0, "", 0))
            self._refused[name] = number + 1, problem[:MAX_PROBLEM], now
        for _ in range(2):  # a second time requests that came during the first
            if not self._refused or not self._counting.acquire(blocking=False):
                return
            try:
                self._count_refused()
            finally:
                self._counting.release()

    def _count_refused(self) -> None:
        with self._lock_of_refused:
            refused, self._refused = self._refused, {}
        for name, (number, problem, now) in refused.items():
            values = {"last_problem": now, "problem": problem}
            self._count(self._relaxed, name, SourceCounts(refused=number), values)

    def _count(
        self, engine: Engine, name: str, counts: SourceCounts, values: dict[str, Any]
    ) -> None:
        """Add *counts* to the counters of a source, and set columns to *values*."""
        added = {
            counter: getattr(SourceRow, counter) + number
            for counter in COUNTERS
            if (number := getattr(counts, counter))
        }
        query = SourceRow.update({**added, **values}).where(SourceRow.name == name)
        engine.execute_query(query)

    def _seen(self, bounce_list: int, digests: Sequence[str]) -> set[str]:
        """Return the digests among *digests* that are recorded."""
        found: set[str] = set()
        for chunk in chunks([*dict.fromkeys(filter(None, digests))]):
            query = EventRow.select(EventRow.digest).where(
                EventRow.bounce_list == bounce_list, EventRow.digest.in_(chunk)
            )
            found.update(digest for (digest,) in self._engine.fetch_query(query))
        return found

    def _stored(
        self, bounce_list: int, bounces: Sequence[ReceivedBounce]
    ) -> dict[str, int]:
        """Return the instants of the addresses that are on the list, by key."""
        found: dict[str, int] = {}
        keys = dict.fromkeys(fold(received.bounce.email) for received in bounces)
        for chunk in chunks([*keys]):
            query = BounceRow.select(BounceRow.key, BounceRow.created).where(
                BounceRow.bounce_list == bounce_list, BounceRow.key.in_(chunk)
            )
            found.update(self._engine.fetch_query(query))
        return found


def _is_newer(received: ReceivedBounce, stored: int | None) -> bool:
    """Return whether a list with a bounce from *stored*, if any, needs *received*."""
    if stored is None:
        return True
    return not received.only_if_unknown and received.bounce.created >= stored


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest() if key else ""


def _source(row: Sequence[Any]) -> Source:
    id_, name, owner, kind, text, *activity = row
    try:
        settings = read_settings(json.loads(text))
    except (AttributeError, TypeError, ValueError) as error:
        raise StorageError(f"a row of the table source is damaged: {error}") from None
    counts = SourceCounts(*activity[: len(COUNTERS)])
    last_event, last_problem, problem, confirm_url = activity[len(COUNTERS) :]
    return Source(
        id_,
        name,
        owner,
        kind,
        settings,
        counts,
        last_event,
        last_problem,
        problem or "",
        confirm_url or "",
    )
