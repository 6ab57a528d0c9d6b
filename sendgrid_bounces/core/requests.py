"""Requests: the claims that a fault rule matches, and entries of the request log."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The claims of a request before authentication.

    :param operation: a name among the dialect's operations; None if unknown.
    :param account: the account name that the client presents.
    :param domain: the domain in the path, in lower case.
    :param emails: the addresses that the request names.
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
    """An entry of the request log: an answered request, with its secrets redacted.

    :param time: the instant of the request.
    :param operation: a name among the dialect's operations; None if unknown.
    :param account: the account name that the client presented, or the account of the
        domain; None if unknown.
    :param domain: the domain in the path, if any.
    :param parameters: the values by name; a list if a name was repeated.
    :param status: None if the connection was dropped.
    :param rows: the number of bounces that the request added, replaced or removed;
        None for a request that only reads.
    :param fault: the identifier of the fault rule that triggered.
    """

    time: int
    dialect: str
    operation: str | None
    account: str | None
    domain: str | None
    method: str
    path: str
    parameters: Mapping[str, str | list[str]] = field(
        metadata={"description": "Credentials are redacted."}
    )
    status: int | None = field(
        metadata={"description": "null if the connection was dropped."}
    )
    rows: int | None = field(
        metadata={
            "description": "Bounces added, replaced or removed; null if it only read."
        }
    )
    fault: int | None = field(metadata={"description": "The triggered fault rule."})


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Conditions on entries of the request log. None stands for no condition.

    :param since: the first instant.
    :param dialect: a dialect or a vendor.
    """

    account: str | None = None
    domain: str | None = None
    operation: str | None = None
    status: int | None = None
    since: int | None = None
    dialect: str | None = None
