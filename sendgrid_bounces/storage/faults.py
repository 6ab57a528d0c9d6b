"""The fault rules in a database and their counters."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from secrets import randbelow
from typing import Any

import peewee

from sendgrid_bounces.core.clock import ClockState
from sendgrid_bounces.core.errors import StorageError, UnknownNameError
from sendgrid_bounces.core.faults import (
    MAX_FAULT_RULES,
    Counters,
    FaultRule,
    Match,
    StoredFault,
    check_number,
)
from sendgrid_bounces.core.requests import MAX_ID
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.sql import COUNT_ALL, insert
from sendgrid_bounces.storage.tables import ClockRow, FaultRow, FaultSetRow

#: Seconds that counting a request waits for other writers before failing.
COUNT_TIMEOUT = 30

FAULT_COLUMNS = (FaultRow.id, FaultRow.rule, FaultRow.matched, FaultRow.fired)

COUNTER_COLUMNS = (
    FaultRow.matched,
    FaultRow.fired,
    FaultRow.window_start,
    FaultRow.window_count,
)

#: Returns the text of a rule, which also identifies the rule of a seed.
_encode = json.JSONEncoder(sort_keys=True).encode


_FAULTS = FaultRow.select(*FAULT_COLUMNS)

#: A row, even if the tables have none.
_VERSION_AND_CLOCK = peewee.Select(
    columns=[
        FaultSetRow.select(FaultSetRow.version),
        ClockRow.select(ClockRow.frozen),
        ClockRow.select(ClockRow.ahead),
    ]
)

#: The largest first version of the set of rules.
MAX_FIRST = 2**30

_CONFLICT_TARGET = {"conflict_target": [FaultSetRow.only]}

_BY_ID = FaultRow.id == 0


class FaultStore:
    """The fault rules in a database, in the order in which they were added.

    Each process keeps the rules until their version in the database changes.
    """

    _number = Compiled(lambda engine: engine.compile(FaultRow.select(COUNT_ALL)))
    _all = Compiled(lambda engine: engine.compile(_FAULTS.order_by(FaultRow.id)))
    _version_and_clock = Compiled(lambda engine: engine.compile(_VERSION_AND_CLOCK))
    _next_version = Compiled(
        lambda engine: engine.compile(
            FaultSetRow.insert(only=1, version=1).on_conflict(
                update={FaultSetRow.version: FaultSetRow.version + 1},
                **_CONFLICT_TARGET if engine.has_conflict_targets else {},
            )
        )
    )
    _matched = Compiled(
        lambda engine: engine.compile(FaultRow.select(FaultRow.matched).where(_BY_ID))
    )
    _insert = Compiled(
        lambda engine: engine.compile(
            insert(FaultRow, (FaultRow.rule, *COUNTER_COLUMNS))
        )
    )
    _count = Compiled(
        lambda engine: engine.compile(
            FaultRow.update(matched=FaultRow.matched + 1).where(_BY_ID)
        )
    )
    _one = Compiled(lambda engine: engine.compile(_FAULTS.where(_BY_ID)))
    _counters = Compiled(
        lambda engine: engine.compile(FaultRow.select(*COUNTER_COLUMNS).where(_BY_ID))
    )
    _update = Compiled(
        lambda engine: engine.compile(
            FaultRow.update(fired=0, window_start=0, window_count=0).where(_BY_ID)
        )
    )

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        #: A version of the set of rules, and the rules that can still trigger.
        self._known: tuple[int, tuple[StoredFault, ...]] = (-1, ())
        self._relaxed = engine.relaxed(COUNT_TIMEOUT)

    def all(self) -> list[StoredFault]:
        """Return all rules in the order in which they are matched."""
        return [_fault(row) for row in self._engine.fetch(self._all)]

    def read_with_clock(self) -> tuple[tuple[StoredFault, ...], ClockState]:
        """Return the rules that can trigger, and the state of the shared clock.

        One statement reads the clock and the version of the rules. The counters of the
        rules are out of date.
        """
        ((version, frozen, ahead),) = self._engine.fetch(self._version_and_clock)
        known = self._known
        if known[0] != (version or 0):
            faults = [f for f in self.all() if not f.rule.is_spent(f.matched)]
            known = self._known = (version or 0, tuple(faults))
        return known[1], ClockState(frozen, ahead or 0)

    def get(self, id_: int) -> StoredFault:
        """Return the rule *id_*.

        :raises UnknownNameError: if there is no such rule.
        """
        rows = self._engine.fetch(self._one, (id_,)) if 0 < id_ <= MAX_ID else []
        if not rows:
            raise UnknownNameError("fault rule", str(id_))
        return _fault(rows[0])

    def add(self, rules: Sequence[FaultRule]) -> list[int]:
        """Append *rules*, all or none; return their identifiers.

        :raises ParametersError: if there would be more than :data:`MAX_FAULT_RULES`.
        """

        def add() -> list[int]:
            self._lock_set()
            check_number(self._engine.fetch(self._number)[0][0] + len(rules), "faults")
            return [
                self._engine.execute_insert(
                    self._insert, (_encode(rule.as_dict()), 0, 0, 0, 0)
                )
                for rule in rules
            ]

        return self._engine.transact(add)

    def add_seeded(self, rules: Iterable[FaultRule]) -> None:
        """Append the *rules* of a seed, except rules that an earlier load added.

        A rule is identified by its text and its position among equal rules.

        :raises ParametersError: if there would be more than :data:`MAX_FAULT_RULES`.
        """

        def add() -> None:
            self._lock_set()
            seen: Counter[str] = Counter()
            for rule in rules:
                text = _encode(rule.as_dict())
                seen[text] += 1
                name = hashlib.sha256(f"{seen[text]}:{text}".encode()).hexdigest()
                query = FaultRow.insert(rule=text, planted=name).on_conflict_ignore()
                self._engine.execute_query(query)
            check_number(self._engine.fetch(self._number)[0][0], "faults")

        self._engine.transact(add)

    def remove(self, id_: int) -> None:
        """Remove the rule *id_*.

        :raises UnknownNameError: if there is no such rule.
        """

        def remove() -> None:
            self._lock_set()
            self.get(id_)
            self._engine.execute_query(FaultRow.delete().where(FaultRow.id == id_))

        self._engine.transact(remove)

    def remove_owned(self, *, account: str = "", domain: str = "") -> None:
        """Remove the rules that are limited to *account* or to *domain*, if given.

        :param domain: its name in lower case.
        """

        def remove() -> None:
            self._lock_set()
            ids = [
                fault.id
                for fault in self.all()
                if fault.rule.is_for(account=account, domain=domain)
            ]
            self._engine.execute_query(FaultRow.delete().where(FaultRow.id.in_(ids)))

        self._engine.transact(remove)

    def clear(self) -> int:
        """Remove all rules; return how many there were."""

        def clear() -> int:
            self._lock_set()
            return self._engine.execute_query(FaultRow.delete())

        return self._engine.transact(clear)

    def trigger(self, faults: Sequence[StoredFault], now: int) -> Match | None:
        """Count a request that matches *faults*; return the first rule that triggers.

        Later rules do not count the request. Counting locks the row of a rule, so
        concurrent requests get distinct turns.
        """
        active = [fault for fault in faults if not self._is_spent(fault)]

        def count() -> Match | None:
            for fault in active:
                if not self._relaxed.execute(self._count, (1, fault.id)):
                    continue  # removed meanwhile
                before = Counters(*self._relaxed.fetch(self._counters, (fault.id,))[0])
                after = before.advanced(fault.rule, now)
                start, requests = after.window_start, after.window_count
                values = (after.triggered, start, requests, fault.id)
                self._relaxed.execute(self._update, values)
                if after.triggered > before.triggered:
                    window = fault.rule.window_seconds
                    end = None if window is None else start + window
                    return Match(fault.id, fault.rule, now, end)
            return None

        return self._relaxed.transact(count) if active else None

    def _is_spent(self, fault: StoredFault) -> bool:
        """Return whether *fault* is used up; if so, drop it from the cache."""
        if fault.rule.times is None:
            return False
        rows = self._engine.fetch(self._matched, (fault.id,))
        if rows and not fault.rule.is_spent(rows[0][0]):
            return False
        version, faults = self._known
        self._known = (version, tuple(f for f in faults if f.id != fault.id))
        return True

    def _lock_set(self) -> None:
        """Change the version of the set; other changes wait for this transaction.

        The first version is random: a database can be replaced by another one while
        servers use it, and a server caches the rules of a version.
        """
        self._engine.execute(self._next_version, (1, randbelow(MAX_FIRST) + 1, 1))


def _fault(row: Sequence[Any]) -> StoredFault:
    id_, text, matched, triggered = row
    rule = _rule(text)
    if rule.times is not None:  # requests at the same time count after the last one
        matched = min(matched, rule.times + (rule.skip or 0))
    return StoredFault(id_, rule, matched, triggered)


@lru_cache(maxsize=MAX_FAULT_RULES)
def _rule(text: str) -> FaultRule:
    try:
        return FaultRule(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise StorageError(f"a row of the table fault is damaged: {error}") from None
