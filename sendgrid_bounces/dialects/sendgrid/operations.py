"""What can be done to an account's bounce list: get, delete, count.

An operation takes a call and returns a document; it knows neither format nor envelope,
so that every face of SendGrid can share it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.clock import wall_clock
from sendgrid_bounces.dialects.sendgrid import params
from sendgrid_bounces.dialects.sendgrid.documents import (
    BounceListing,
    Document,
    Message,
)
from sendgrid_bounces.dialects.sendgrid.profiles import Profile
from sendgrid_bounces.storage.bounces import BounceStore
from sendgrid_bounces.web import responses


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose caller is known.

    :param account: whose list is meant.
    :param arguments: what the request says, unparsed.
    :param now: the instant of the call.
    """

    store: BounceStore
    account: Account
    arguments: params.Arguments
    now: int
    profile: Profile


def get(call: Call) -> Document:
    """Return the bounces that are asked for, oldest first."""
    clock = wall_clock(call.account.timezone)
    wanted = params.read_get(call.arguments, clock, call.now)
    return BounceListing(
        call.store.find_brief(
            call.account.bounce_list, wanted.query, wanted.limit, wanted.offset
        ),
        clock if wanted.dated else None,
    )


def delete(call: Call) -> Document:
    """Delete the bounces that are named.

    Wire: an address that is not there is no error: clients look for the words. What a
    filter without an address answers when nothing matches is inferred.
    """
    query = params.read_delete(
        call.arguments,
        wall_clock(call.account.timezone),
        call.now,
        bare_means_all=call.profile.bare_delete_means_all,
    )
    deleted = call.store.delete(call.account.bounce_list, query)
    responses.set_rows(deleted)
    if query.emails and not deleted:
        return Message("Email does not exist")
    return Message("success")


def count(call: Call) -> Document:
    """Count the bounces that are named."""
    clock = wall_clock(call.account.timezone)
    query = params.read_count(call.arguments, clock, call.now)
    return call.profile.count(call.store.count(call.account.bounce_list, query))


Operation = Callable[[Call], Document]

OPERATIONS: Mapping[str, Operation] = {"get": get, "delete": delete, "count": count}
