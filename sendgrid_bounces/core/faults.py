"""Fault rules: matching requests, and triggering for some of the matches.

Nothing here reads the time or is random: the same requests trigger the same faults.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase, translate
from functools import lru_cache
from typing import Any

from sendgrid_bounces.core.bounces import fold
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.requests import RequestInfo

#: The maximum number of fault rules; each request is compared with all rules.
MAX_FAULT_RULES = 1_000


def check_number(number: int, name: str = "") -> None:
    """Check a number of fault rules.

    :param name: the argument that an error is about.
    :raises ParametersError: if it is larger than :data:`MAX_FAULT_RULES`.
    """
    if number > MAX_FAULT_RULES:
        problem = f"there may be at most {MAX_FAULT_RULES} rules (got {number})"
        raise ParametersError([(name, problem)])


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Conditions that a request must meet, a schedule, and the effects on the request.

    Fields without effect are None.

    :param dialect: a dialect or a vendor.
    :param email: a glob for any of the addresses.
    :param path: a glob.
    :param skip: the number of matching requests to pass over first.
    :param times: the number of times the rule triggers.
    :param probability: the share of the matching requests that the rule triggers for,
        chosen by *seed*.
    :param limit: the number of requests that pass in each window of *window_seconds*.
    :param drop_connection: ``before`` or ``after`` the request is processed.
    :param truncate: the number of bytes of the body to send; True for half the body.
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

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that are not None, by name."""
        values = asdict(self).items()
        return {name: value for name, value in values if value is not None}

    def matches(self, info: RequestInfo) -> bool:
        """Return whether a request meets the conditions."""
        return (
            _covers(self.dialect, info.dialect)
            and self.operation in (None, info.operation)
            and self.account in (None, info.account)
            and self.domain in (None, info.domain)
            and self.method in (None, info.method)
            and (self.path is None or fnmatchcase(info.path, self.path))
            and (self.email is None or _any_matches(self.email, info.folded_emails))
        )

    def is_for(self, *, account: str = "", domain: str = "") -> bool:
        """Return whether the rule is limited to *account* or to *domain*, if given.

        :param domain: its name in lower case.
        """
        is_of_account = account != "" and account == self.account
        return is_of_account or (domain != "" and domain == self.domain)

    def is_spent(self, matched: int) -> bool:
        """Return whether the rule cannot trigger again after *matched* requests."""
        return self.times is not None and matched >= self.times + (self.skip or 0)


@dataclass(frozen=True, slots=True)
class StoredFault:
    """A fault rule in the database.

    :param matched: the number of matching requests, counted until the rule is spent.
    :param triggered: how many times the rule triggered.
    """

    id: int
    rule: FaultRule
    matched: int
    triggered: int


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters of a fault rule.

    :param matched: the number of matching requests, counted until the rule is spent.
    :param triggered: how many times the rule triggered.
    :param window_start: the instant at which its current window began.
    :param window_count: the number of requests in that window.
    """

    matched: int
    triggered: int
    window_start: int
    window_count: int

    def advanced(self, rule: FaultRule, now: int) -> "Counters":
        """Return the counters after a request, which *matched* already includes."""
        counters, triggers = self, True
        if rule.limit is not None and rule.window_seconds is not None:
            if not 0 <= now - self.window_start < rule.window_seconds:
                counters = replace(self, window_start=now, window_count=0)
            counters = replace(counters, window_count=counters.window_count + 1)
            triggers = counters.window_count > rule.limit
        turn = self.matched - (rule.skip or 0)
        if turn <= 0 or (rule.times is not None and turn > rule.times):
            triggers = False
        if rule.probability is not None and triggers:
            triggers = chance(rule.seed or 0, self.matched) < rule.probability
        return replace(counters, triggered=counters.triggered + triggers)


@dataclass(frozen=True, slots=True)
class Match:
    """A fault rule that triggers for a request.

    :param now: the instant of the request.
    :param window_end: the instant at which the window of the rule ends, if any.
    """

    id: int
    rule: FaultRule
    now: int
    window_end: int | None


def chance(seed: int, turn: int) -> float:
    """Return a number from 0 up to but not including 1, derived from the arguments."""
    digest = hashlib.blake2b(f"{seed}:{turn}".encode(), digest_size=6).digest()
    return float(int.from_bytes(digest, "big") / 2**48)


def _covers(wanted: str | None, dialect: str) -> bool:
    """Return whether *wanted* names the dialect or its vendor, or nothing."""
    return wanted is None or wanted in (dialect, dialect.partition(".")[0])


@lru_cache(maxsize=4_096)
def _compile(glob: str) -> re.Pattern[str]:
    """Return the pattern of folded addresses. Python keeps fewer than rules exist."""
    return re.compile(translate(fold(glob)))


def _any_matches(glob: str, folded_emails: Iterable[str]) -> bool:
    """Return whether *glob* matches an address."""
    return any(map(_compile(glob).match, folded_emails))
