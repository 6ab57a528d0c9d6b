"""Deliver the events of a mail or a request to a bounce list."""

from dataclasses import dataclass

from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.errors import NameTakenError, UnknownNameError
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
    :param known: repeated events, and events older than the bounce on the list.
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
    :raises UnknownNameError: if the source was removed or changed while the batch
        arrived, or its owner does not exist.
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
        _check(storage, source)
        return Receipt(counts, listed, known)

    storage.sources.purge(now, now if system is None else system, len(batch.listed))
    return storage.engine.transact(deliver)


def _check(storage: Storage, source: Source) -> None:
    """Check that the source is still the one that has verified the request."""
    found = storage.sources.find(source.name)
    if found is None or (found.owner, found.kind, found.settings) != (
        source.owner,
        source.kind,
        source.settings,
    ):
        raise UnknownNameError("source", source.name)


def open_source(storage: Storage, name: str, owner: str, kind: str) -> Source:
    """Return a source without an endpoint; add it if it does not exist.

    :raises UnknownNameError: if *owner* does not exist.
    """
    storage.accounts.named_list(owner)
    source = storage.sources.find(name)
    if source is not None:
        return source

    def add() -> Source:
        found = storage.accounts.named_list(owner).owner
        return storage.sources.add(name, found, kind, SourceSettings())

    try:
        return storage.accounts.transact(add)
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
