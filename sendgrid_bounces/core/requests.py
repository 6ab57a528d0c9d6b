"""Requests: the claims that a fault rule matches, and entries of the request log."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sendgrid_bounces.core.bounces import MAX_LENGTHS, fold
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.messages import got

#: The largest identifier of an entry of the log, or of a fault rule.
MAX_ID = 2**63 - 1

#: A response status, or a class of statuses.
STATUS = re.compile("[1-5](?:[0-9]{2}|[Xx]{2})")


@dataclass(frozen=True)
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

    @cached_property
    def folded_emails(self) -> frozenset[str]:
        """The folded addresses, without texts that are too long for one."""
        longest = MAX_LENGTHS["email"]
        return frozenset(fold(email) for email in self.emails if len(email) <= longest)


def _described(text: str) -> Any:
    """Return a dataclass field that has a description."""
    return field(metadata={"description": text})


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """An entry of the request log: an answered request, with its secrets redacted.

    The table, JSON, the OpenAPI description and the command line derive from these
    fields and their descriptions.
    """

    id: int = _described("Increases with each request; never reused.")
    received: int = _described("The system time, in milliseconds since 1970.")
    emulated_time: int = _described("The time of the emulator's clock.")
    duration_ms: float = _described("Until the response began to be sent.")
    dialect: str = _described("The vendor and its API version.")
    operation: str | None = _described("null if the path or the method is unknown.")
    account: str | None = _described(
        "The account name that the client sent, or the account of the domain."
    )
    domain: str | None = _described("The domain in the path.")
    method: str = _described("The HTTP method.")
    path: str = _described("The path, decoded and without the query.")
    parameters: Mapping[str, str | list[str]] = _described(
        "The parameters of query and form by name; a list if a name is repeated."
    )
    user_agent: str | None = _described("The User-Agent header.")
    status: int | None = _described("null if a fault rule dropped the connection.")
    rows: int | None = _described(
        "Bounces added, replaced or removed; null if it only read."
    )
    fault: int | None = _described("The fault rule that triggered.")
    response_bytes: int | None = _described(
        "The length of the response body; null while it is sent in pieces."
    )
    response: str = _described("The first 4 KiB of the response body.")

    @property
    def time(self) -> int:
        """The former name of :attr:`emulated_time`."""
        return self.emulated_time


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Conditions on entries of the request log. None stands for no condition.

    :param status: a status, or a class such as ``5xx``.
    :param since: the first instant on the emulator's clock.
    :param dialect: a dialect or a vendor.
    :param after: the identifier that all entries exceed.
    """

    account: str | None = None
    domain: str | None = None
    operation: str | None = None
    status: int | str | None = None
    since: int | None = None
    dialect: str | None = None
    after: int | None = None


def status_range(status: int | str) -> tuple[int, int]:
    """Return the first and the last status that *status* stands for.

    :param status: a status, or a class such as ``5xx``.
    :raises ParametersError: if it is neither.
    """
    text = str(status)
    if not STATUS.fullmatch(text):
        rule = "must be a status such as 503, or a class such as 5xx"
        raise ParametersError([("status", f"{rule}{got(status)}")])
    if text.isdigit():
        return int(text), int(text)
    first = int(text[0]) * 100
    return first, first + 99
