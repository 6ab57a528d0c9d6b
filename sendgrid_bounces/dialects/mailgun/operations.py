"""What can be done to a domain's bounce list, for v2 and v3 alike."""

from collections.abc import Iterable

from sendgrid_bounces.core.bounces import Bounce, BounceQuery
from sendgrid_bounces.core.errors import UnknownAddressError
from sendgrid_bounces.storage.bounces import BounceStore, BounceTuple
from sendgrid_bounces.web import responses


def find_one(store: BounceStore, bounce_list: int, address: str) -> BounceTuple:
    """Return the row of *address*.

    :raises UnknownAddressError: if there is none.
    """
    for rows in store.find(bounce_list, BounceQuery(emails=(address,))):
        return rows[0]
    raise UnknownAddressError


def remove_one(store: BounceStore, bounce_list: int, address: str) -> None:
    """Remove *address*.

    :raises UnknownAddressError: if it is not there.
    """
    removed = store.delete(bounce_list, BounceQuery(emails=(address,)))
    responses.set_rows(removed)
    if not removed:
        raise UnknownAddressError


def clear(store: BounceStore, bounce_list: int) -> None:
    """Remove all."""
    responses.set_rows(store.delete(bounce_list, BounceQuery()))


def add(store: BounceStore, bounce_list: int, bounces: Iterable[Bounce]) -> int:
    """Add or replace *bounces*, all or none; return how many."""
    added = store.put(bounce_list, bounces)
    responses.set_rows(added)
    return added
