"""Requests: the claims a fault rule can match, and the entries of the request log."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The claims of a request before authentication.

    :param operation: a name among the dialect's operations; None if unknown.
    :param account: the account name the client presents.
    :param domain: the domain in the path, in lower case.
    :param emails: the addresses the request names.
    """

    dialect: str
    method: str
    path: str
    operation: str | None = None
    account: str | None = None
    domain: str | None = None
    emails: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request that was answered, fit to be read by anybody.

    :param time: the instant of it.
    :param operation: what was asked for; None if that is not known, as the others.
    :param account: who called, or claimed to, or has the domain that is named.
    :param parameters: each name with its value, or with all of them if it came often.
    :param status: None if the connection was dropped.
    :param rows: how many bounces it added, replaced or removed; None if it only read.
    :param fault: the identifier of the rule that fired.
    """

    time: int
    dialect: str
    operation: str | None
    account: str | None
    domain: str | None
    method: str
    path: str
    parameters: Mapping[str, str | list[str]]
    status: int | None
    rows: int | None
    fault: int | None


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which entries are meant; what is None does not matter.

    :param since: the first instant.
    :param dialect: a dialect, or a vendor.
    """

    account: str | None = None
    domain: str | None = None
    operation: str | None = None
    status: int | None = None
    since: int | None = None
    dialect: str | None = None
