"""The contents of a database as a whole, and their named copies."""

from dataclasses import dataclass


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
