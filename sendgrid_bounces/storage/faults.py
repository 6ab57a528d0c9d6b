"""The fault rules in one database, and what is counted of each."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sendgrid_bounces.core.errors import ParametersError, UnknownNameError
from sendgrid_bounces.core.faults import Counters, FaultRule, Match
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.tables import FaultRow

#: How many rules there may be: each request looks at all of them.
MAX_FAULT_RULES = 1_000

#: Seconds that a request waits for others' writes before its rules cannot be asked.
PATIENCE = 30

COUNTERS = (
    FaultRow.matched,
    FaultRow.fired,
    FaultRow.window_start,
    FaultRow.window_count,
)


@dataclass(frozen=True, slots=True)
class StoredFault:
    """A rule that is in force, and what was counted of it."""

    id: int
    rule: FaultRule
    matched: int
    fired: int


class FaultStore:
    """The rules in their order, which is that in which they were added."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        faults = FaultRow.select(
            FaultRow.id, FaultRow.rule, FaultRow.matched, FaultRow.fired
        ).order_by(FaultRow.id)
        self._all = engine.text(faults)
        one = FaultRow.id == 0
        self._count = engine.text(
            FaultRow.update(matched=FaultRow.matched + 1).where(one)
        )
        self._tally = engine.text(FaultRow.select(*COUNTERS).where(one))
        self._note = engine.text(
            FaultRow.update(fired=0, window_start=0, window_count=0).where(one)
        )

    def all(self) -> list[StoredFault]:
        """Return the rules, in the order in which they are asked."""
        return [_fault(row) for row in self._engine.fetch(self._all)]

    def get(self, id_: int) -> StoredFault:
        """Return the rule of this identifier.

        :raises UnknownNameError: if there is none.
        """
        for fault in self.all():
            if fault.id == id_:
                return fault
        raise UnknownNameError("fault", str(id_))

    def add(self, rules: Sequence[FaultRule]) -> list[int]:
        """Add *rules* after those that are there, all or none; return what names them.

        :raises ParametersError: if they are too many.
        """

        def act() -> list[int]:
            self._check_number(len(rules))
            return [self._engine.insert(FaultRow, rule=_text(rule)) for rule in rules]

        return self._engine.transact(act)

    def apply(self, rules: Iterable[FaultRule]) -> None:
        """Add *rules*, but for those that were planted before.

        A rule is known by what it says, and by how often it was said before.

        :raises ParametersError: if they are too many.
        """

        def act() -> None:
            said: Counter[str] = Counter()
            for rule in rules:
                text = _text(rule)
                said[text] += 1
                name = hashlib.sha256(f"{said[text]}:{text}".encode()).hexdigest()
                row = FaultRow.insert(rule=text, planted=name)
                self._engine.execute(row.on_conflict_ignore())
            self._check_number(0)

        self._engine.transact(act)

    def remove(self, id_: int) -> None:
        """Remove a rule.

        :raises UnknownNameError: if there is none of this identifier.
        """

        def act() -> None:
            self.get(id_)
            self._engine.execute(FaultRow.delete().where(FaultRow.id == id_))

        self._engine.transact(act)

    def forget(self, owner: str) -> None:
        """Remove the rules that are about one account or domain, *owner*."""

        def act() -> None:
            ids = [fault.id for fault in self.all() if fault.rule.names(owner)]
            self._engine.execute(FaultRow.delete().where(FaultRow.id.in_(ids)))

        self._engine.transact(act)

    def clear(self) -> int:
        """Remove all rules; return how many there were."""
        return self._engine.transact(lambda: self._engine.execute(FaultRow.delete()))

    def take(self, faults: Sequence[StoredFault], now: int) -> Match | None:
        """Count a request that *faults* are about; return the first rule that fires.

        The rules after it do not count the request. Counting locks a rule's row: of
        several requests at a time each has a turn of its own.
        """

        def act() -> Match | None:
            for fault in faults:
                if not self._engine.change(self._count, (1, fault.id)):
                    continue  # somebody has just removed it
                before = Counters(*self._engine.fetch(self._tally, (fault.id,))[0])
                after = before.advanced(fault.rule, now)
                start, count = after.window_start, after.window_count
                self._engine.change(self._note, (after.fired, start, count, fault.id))
                if after.fired > before.fired:
                    window = fault.rule.window_seconds
                    end = None if window is None else start + window
                    return Match(fault.id, fault.rule, now, end)
            return None

        return self._engine.transact_relaxed(act, PATIENCE)

    def _check_number(self, more: int) -> None:
        there = len(self.all())
        if there + more > MAX_FAULT_RULES:
            rule = f"there may be {MAX_FAULT_RULES} rules, and not {there + more}"
            raise ParametersError([("faults", rule)])


def _fault(row: Sequence[Any]) -> StoredFault:
    id_, text, matched, fired = row
    return StoredFault(id_, _rule(text), matched, fired)


@lru_cache(maxsize=MAX_FAULT_RULES)
def _rule(text: str) -> FaultRule:
    return FaultRule(**json.loads(text))


def _text(rule: FaultRule) -> str:
    return json.dumps(rule.as_written(), sort_keys=True)
