"""The operations on an account's bounce list: get, delete, count.

Operations take a call and return a document. They depend on neither format nor
envelope, so both SendGrid programs share them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.timezones import account_zone
from sendgrid_bounces.dialects.sendgrid import params
from sendgrid_bounces.dialects.sendgrid.documents import (
    BounceListing,
    Count,
    Document,
    Message,
)
from sendgrid_bounces.storage.bounces import BounceStore


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated call.

    :param account: the owner of the bounce list.
    :param bare_delete_means_all: whether a delete without parameters deletes the list.
    """

    store: BounceStore
    account: Account
    arguments: params.Arguments
    clock: Clock
    bare_delete_means_all: bool


def get(call: Call) -> Document:
    """Return the bounces that match, oldest first."""
    zone = account_zone(call.account.timezone)
    wanted = params.read_get(call.arguments, zone, call.clock)
    batches = call.store.find_brief(
        call.account.bounce_list, wanted.query, wanted.limit, wanted.offset
    )
    return BounceListing(batches, zone if wanted.dated else None)


def delete(call: Call) -> Document:
    """Delete the bounces that match.

    Wire: an absent address is not an error: clients look for the message. The answer to
    a filter without an address that matches nothing is inferred.
    """
    query = params.read_delete(
        call.arguments,
        account_zone(call.account.timezone),
        call.clock,
        bare_means_all=call.bare_delete_means_all,
    )
    deleted = call.store.delete(call.account.bounce_list, query, clock=call.clock)
    is_absent = query.emails and not deleted
    message = "Email does not exist" if is_absent else "success"
    return Message(message, rows_changed=deleted)


def count(call: Call) -> Document:
    """Count the bounces that match."""
    zone = account_zone(call.account.timezone)
    query = params.read_count(call.arguments, zone, call.clock)
    return Count(call.store.count(call.account.bounce_list, query))


Operation = Callable[[Call], Document]

OPERATIONS: Mapping[str, Operation] = {"get": get, "delete": delete, "count": count}
