"""The operations on a domain's bounce list, for v2 and v3."""

from collections.abc import Iterable
from dataclasses import dataclass

from sendgrid_bounces.core.bounces import Bounce, BounceQuery
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import UnknownAddressError
from sendgrid_bounces.dialects.mailgun.documents import (
    Added,
    BatchAdded,
    Cleared,
    Document,
    Found,
    Imported,
    Page,
    Removed,
    Slice,
)
from sendgrid_bounces.dialects.mailgun.params import PageParams, SliceParams
from sendgrid_bounces.storage.bounces import BounceStore


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated call."""

    store: BounceStore
    bounce_list: int
    clock: Clock


def list_slice(call: Call, wanted: SliceParams) -> Document:
    """Return a part of the list, newest first, and the length of the list."""
    batches = call.store.find(
        call.bounce_list, BounceQuery(), wanted.limit, wanted.skip, newest_first=True
    )
    return Slice(call.store.count(call.bounce_list, BounceQuery()), batches)


def list_page(call: Call, wanted: PageParams, url: str) -> Document:
    """Return a page of the list, by address.

    :param url: the absolute URL of the list.
    """
    rows = call.store.page(call.bounce_list, wanted.page, wanted.limit)
    return Page(rows, wanted, url)


def find(call: Call, address: str) -> Document:
    """Return the bounce of *address*.

    :raises UnknownAddressError: if the list does not contain it.
    """
    for rows in call.store.find(call.bounce_list, BounceQuery(emails=(address,))):
        return Found(rows[0])
    raise UnknownAddressError


def add(call: Call, bounce: Bounce) -> Document:
    """Add *bounce*, or replace the bounce of its address."""
    stored = call.store.put(call.bounce_list, [bounce])
    return Added(bounce.email, rows_changed=stored)


def add_batch(call: Call, bounces: Iterable[Bounce]) -> Document:
    """Add or replace *bounces*, all or none."""
    stored = call.store.put(call.bounce_list, bounces)
    return BatchAdded(stored, rows_changed=stored)


def import_file(call: Call, bounces: Iterable[Bounce]) -> Document:
    """Add or replace the *bounces* of a file, all or none."""
    return Imported(rows_changed=call.store.put(call.bounce_list, bounces))


def remove(call: Call, address: str) -> Document:
    """Remove the bounce of *address*.

    :raises UnknownAddressError: if the list does not contain it.
    """
    query = BounceQuery(emails=(address,))
    removed = call.store.delete(call.bounce_list, query, clock=call.clock)
    if not removed:
        raise UnknownAddressError(rows_changed=0)
    return Removed(address, rows_changed=removed)


def clear(call: Call) -> Document:
    """Remove the whole list."""
    query = BounceQuery()
    removed = call.store.delete(call.bounce_list, query, clock=call.clock)
    return Cleared(rows_changed=removed)
