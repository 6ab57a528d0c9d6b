"""Deliver the events of a mail or a request to a bounce list."""

from dataclasses import dataclass

from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.errors import NameTakenError
from sendgrid_bounces.core.sources import (
    ReceivedBounce,
    Source,
    SourceCounts,
    SourceSettings,
)
from sendgrid_bounces.sources.events import Batch, BounceEvent
from sendgrid_bounces.storage.database import Storage


@dataclass(frozen=True, slots=True)
class Receipt:
    """The effect of a batch.

    :param listed: the events that changed the list.
    :param known: repeated events, and those older than the bounce on the list.
    """

    counts: SourceCounts
    listed: tuple[BounceEvent, ...]
    known: tuple[BounceEvent, ...]


def deliver(
    storage: Storage,
    source: Source,
    batch: Batch,
    now: int,
    system: int | None = None,
) -> Receipt:
    """Deliver *batch* to the list of *source* and count it, in one transaction.

    :param system: the system time, if it can differ from *now*.
    :raises UnknownNameError: if the owner of the source does not exist.
    """

    def deliver() -> Receipt:
        named = storage.accounts.named_list(source.owner)
        keys = [batch.token] if batch.token else []
        received = [_received(event) for event in batch.listed]
        outcomes = storage.sources.receive(named.id, received, keys, now, system)
        pairs = list(zip(batch.listed, outcomes, strict=True))
        listed = tuple(event for event, is_listed in pairs if is_listed)
        known = tuple(event for event, is_listed in pairs if not is_listed)
        unlisted = len(batch.events) - len(batch.listed)
        counts = SourceCounts(
            listed=len(listed),
            known=len(known),
            ignored=sum(batch.ignored.values()) + unlisted,
            skipped=len(batch.skipped),
        )
        problem = batch.skipped[0] if batch.skipped else ""
        storage.sources.record(
            source.name, counts, now, problem=problem, confirm_url=batch.confirm_url
        )
        return Receipt(counts, listed, known)

    return storage.engine.transact(deliver)


def open_source(storage: Storage, name: str, owner: str, kind: str) -> Source:
    """Return a source without an endpoint; add it if it does not exist.

    :raises UnknownNameError: if *owner* does not exist.
    """
    owner = storage.accounts.named_list(owner).owner
    source = storage.sources.find(name)
    if source is not None:
        return source
    try:
        return storage.sources.add(name, owner, kind, SourceSettings())
    except NameTakenError:  # another process has added it meanwhile
        return storage.sources.get(name)


def as_bounce(event: BounceEvent) -> Bounce:
    """Return the bounce of *event*."""
    return Bounce(
        event.email,
        event.status,
        event.code,
        event.reason,
        event.created,
        reported=True,
    )


def _received(event: BounceEvent) -> ReceivedBounce:
    return ReceivedBounce(as_bounce(event), event.key, event.only_if_unknown)
