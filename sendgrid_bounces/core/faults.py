"""Faults: which requests a rule is about, and at which of them it fires.

Nothing here asks the time or throws dice: the same requests meet the same faults again.
"""

import hashlib
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from sendgrid_bounces.core.bounces import fold
from sendgrid_bounces.core.requests import RequestInfo


@dataclass(frozen=True, slots=True)
class FaultRule:
    """A rule: what a request must be, when the rule fires, and what happens then.

    What is None does not matter. ``email`` and ``path`` are globs.

    :param skip: how many requests it lets pass before it fires.
    :param times: how often it fires.
    :param probability: how likely each request is hit; *seed* decides which ones are.
    :param limit: how many requests pass in each window of *window_seconds*.
    :param drop_connection: ``before`` or ``after`` the request is done.
    :param truncate: how many bytes of the body are sent; True for half of them.
    """

    dialect: str | None = None
    operation: str | None = None
    account: str | None = None
    domain: str | None = None
    email: str | None = None
    method: str | None = None
    path: str | None = None

    skip: int | None = None
    times: int | None = None
    probability: float | None = None
    seed: int | None = None
    limit: int | None = None
    window_seconds: int | None = None

    status: int | None = None
    retry_after: int | None = None
    latency_ms: int | None = None
    drop_connection: str | None = None
    truncate: int | bool | None = None
    malformed: bool | None = None

    def as_written(self) -> dict[str, Any]:
        """Return what of it is not None, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def matches(self, info: RequestInfo) -> bool:
        """Return whether the rule applies to a request."""
        return (
            _covers(self.dialect, info.dialect)
            and self.operation in (None, info.operation)
            and self.account in (None, info.account)
            and self.domain in (None, info.domain)
            and self.method in (None, info.method)
            and (self.path is None or fnmatchcase(info.path, self.path))
            and (self.email is None or _any_like(self.email, info.emails))
        )

    def names(self, owner: str) -> bool:
        """Return whether the rule is about one account or domain, *owner*."""
        return owner == self.account or owner.lower() == self.domain

    def is_spent(self, matched: int) -> bool:
        """Return whether the rule cannot fire again, once it has matched so often."""
        return self.times is not None and matched >= self.times + (self.skip or 0)


@dataclass(frozen=True, slots=True)
class Counters:
    """What is counted of a rule.

    :param matched: how many requests it was about, until it was spent.
    :param fired: how many of them it hit.
    :param window_start: the instant at which its window of time began.
    :param window_count: how many of them came in that window.
    """

    matched: int
    fired: int
    window_start: int
    window_count: int

    def advanced(self, rule: FaultRule, now: int) -> "Counters":
        """Return what it is when the request is decided on that *matched* includes."""
        tally, fires = self, True
        if rule.limit is not None and rule.window_seconds is not None:
            if not 0 <= now - self.window_start < rule.window_seconds:
                tally = replace(self, window_start=now, window_count=0)
            tally = replace(tally, window_count=tally.window_count + 1)
            fires = tally.window_count > rule.limit
        turn = self.matched - (rule.skip or 0)
        if turn <= 0 or (rule.times is not None and turn > rule.times):
            fires = False
        if rule.probability is not None:
            fires = fires and chance(rule.seed or 0, self.matched) < rule.probability
        return replace(tally, fired=tally.fired + fires)


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that fires at a request.

    :param now: the instant of that.
    :param window_end: the instant at which its window ends; None if it has none.
    """

    id: int
    rule: FaultRule
    now: int
    window_end: int | None


def chance(seed: int, turn: int) -> float:
    """Return a number of 0 to 1, 1 excluded, that only depends on the arguments."""
    digest = hashlib.blake2b(f"{seed}:{turn}".encode(), digest_size=6).digest()
    return float(int.from_bytes(digest, "big") / 2**48)


def _covers(wanted: str | None, dialect: str) -> bool:
    """Return whether *wanted* is the dialect, or its vendor."""
    return wanted is None or wanted in (dialect, dialect.partition(".")[0])


def _any_like(glob: str, emails: tuple[str, ...]) -> bool:
    return any(fnmatchcase(fold(email), fold(glob)) for email in emails)
