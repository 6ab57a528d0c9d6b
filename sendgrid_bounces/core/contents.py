"""The contents of a database as a whole, and their named copies."""

from collections.abc import Iterable
from dataclasses import dataclass

from sendgrid_bounces.core.errors import UnknownNameError
from sendgrid_bounces.core.messages import count_nouns, join_words


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of accounts, domains and bounces."""

    accounts: int
    domains: int
    bounces: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The description of a snapshot.

    :param created: the instant when it was taken.
    """

    name: str
    created: int
    accounts: int
    domains: int
    bounces: int


def enumerate_contents(contents: Counts | Snapshot) -> str:
    """Return ``1 account, 2 domains and 3 bounces``."""
    numbers = {
        "account": contents.accounts,
        "domain": contents.domains,
        "bounce": contents.bounces,
    }
    return join_words(count_nouns(numbers))


def find_snapshot(snapshots: Iterable[Snapshot], name: str) -> Snapshot:
    """Return the snapshot *name*.

    :raises UnknownNameError: if there is no such snapshot.
    """
    for found in snapshots:
        if found.name == name:
            return found
    raise UnknownNameError("snapshot", name)
