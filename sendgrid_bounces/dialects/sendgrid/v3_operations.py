"""The operations of v3 on a bounce list or its blocks."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import UnknownAddressError
from sendgrid_bounces.core.timezones import time_zone
from sendgrid_bounces.dialects.sendgrid.v3_documents import (
    DailyCounts,
    Document,
    Listing,
    NoContent,
)
from sendgrid_bounces.dialects.sendgrid.v3_params import ListParams
from sendgrid_bounces.storage.bounces import BounceStore

UNCLASSIFIED = "Unclassified"

#: A pattern of the enhanced status code (RFC 3463) -> classification; the first match
#: counts. The names are documented; the rule is not published (inferred).
CLASSIFICATIONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"[245]\.1\.[0-9]+", "Invalid Address"),
        (r"[245]\.2\.[0-9]+", "Mailbox Unavailable"),
        (r"4\.7\.[0-9]+", "Frequency or Volume Too High"),
        (r"5\.7\.[0-9]+", "Reputation"),
        (r"[245]\.6\.[0-9]+", "Content"),
        (r"[245]\.[345]\.[0-9]+", "Technical Failure"),
    )
)
NAMES = (*(name for _, name in CLASSIFICATIONS), UNCLASSIFIED)


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated call.

    :param only: the query of the list it is about: bounces or blocks.
    """

    store: BounceStore
    bounce_list: int
    only: BounceQuery
    clock: Clock


def list_(call: Call, wanted: ListParams) -> Document:
    """Return a page of the list, newest first, then by address."""
    rows = call.store.find_newest(
        call.bounce_list, wanted.query, wanted.limit, wanted.offset
    )
    return Listing(rows)


def find(call: Call, address: str) -> Document:
    """Return the bounce of *address*, or an empty list.

    Wire: clients compare the body for an absent address with ``[]``.
    """
    return Listing(call.store.find_newest(call.bounce_list, _named(call, address), 1))


def delete(call: Call, address: str) -> Document:
    """Delete the bounce of *address*.

    :raises UnknownAddressError: if the list does not contain it.
    """
    query = _named(call, address)
    deleted = call.store.delete(call.bounce_list, query, clock=call.clock)
    if not deleted:
        raise UnknownAddressError(rows_changed=0)
    return NoContent(rows_changed=deleted)


def delete_many(call: Call, queries: list[BounceQuery]) -> Document:
    """Delete all bounces that match any of *queries*, in one transaction."""
    deleted = call.store.delete(call.bounce_list, *queries, clock=call.clock)
    return NoContent(rows_changed=deleted)


def count_classifications(call: Call, query: BounceQuery) -> Document:
    """Count the bounces of each day by classification."""
    return DailyCounts("classification", _count_by_day(call, query, None))


def count_domains(call: Call, query: BounceQuery, classification: str) -> Document:
    """Count the bounces of each day that have *classification*, by domain."""
    return DailyCounts("domain", _count_by_day(call, query, classification))


def classify(status: str) -> str:
    """Return the classification of an enhanced status code."""
    for pattern, name in CLASSIFICATIONS:
        if pattern.fullmatch(status):
            return name
    return UNCLASSIFIED


def _count_by_day(
    call: Call, query: BounceQuery, classification: str | None
) -> dict[str, dict[str, int]]:
    """Return day -> group -> number of bounces, the largest group first."""
    days: defaultdict[str, Counter[str]] = defaultdict(Counter)
    zone = time_zone("UTC")
    for rows in call.store.find_brief(call.bounce_list, query):
        for email, status, _reason, created, _id in rows:
            name = classify(status)
            if classification is None:
                days[zone.render(created)[:10]][name] += 1
            elif classification == name:
                domain = email.rpartition("@")[2].lower()
                days[zone.render(created)[:10]][domain] += 1
    return {day: dict(counts.most_common()) for day, counts in days.items()}


def _named(call: Call, address: str) -> BounceQuery:
    return replace(call.only, emails=(address,))
