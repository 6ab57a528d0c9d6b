"""Assertions about the requests that an emulator received."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any
from urllib.parse import unquote

from sendgrid_bounces.core.bounces import fold
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.messages import got, suggest
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.core.times import render_instant
from sendgrid_bounces.schemas.faults import Operations, check_names

#: Requests that a failure message lists.
MAX_LISTED = 20

#: The conditions of an assertion: fields of a logged request, and addresses.
CONDITIONS = (*(field.name for field in fields(LoggedRequest)), "email")

#: The types of conditions that are not only compared.
_TYPES = {"email": str, "dialect": str | None, "operation": str | None}

#: Parameters with addresses as values.
_ADDRESSES = ("email", "address")


def check_conditions(conditions: Mapping[str, Any], operations: Operations) -> None:
    """Check that *conditions* can match a request.

    :param operations: the operations of each dialect.
    :raises TypeError: if a name is unknown.
    :raises ParametersError: if the operation or the dialect is unknown, or the address
        no text.
    """
    for name in conditions:
        if name not in CONDITIONS:
            hint = suggest(name, CONDITIONS, "valid conditions")
            raise TypeError(f"unknown condition {name!r} ({hint})")
    for name, types in _TYPES.items():
        value = conditions.get(name, "")
        if not isinstance(value, types):
            raise ParametersError([(name, f"must be text{got(value)}")])
    dialect, operation = conditions.get("dialect"), conditions.get("operation")
    if problems := [*check_names(operations, dialect, operation)]:
        raise ParametersError(problems)


def matches(request: LoggedRequest, conditions: Mapping[str, Any]) -> bool:
    """Return whether *request* satisfies all *conditions*."""
    return not differences(request, conditions)


def differences(request: LoggedRequest, conditions: Mapping[str, Any]) -> list[str]:
    """Return the conditions that *request* does not satisfy, with its own values."""
    found = []
    for name, wanted in conditions.items():
        if name == "email":
            if fold(wanted) not in map(fold, emails(request)):
                found.append(f"email={', '.join(emails(request)) or None}")
        elif name == "dialect":
            if wanted not in (request.dialect, request.dialect.partition(".")[0]):
                found.append(f"dialect={request.dialect}")
        elif getattr(request, name) != wanted:
            found.append(f"{name}={getattr(request, name)}")
    return found


def emails(request: LoggedRequest) -> list[str]:
    """Return the addresses in the parameters and the path of *request*.

    Addresses in a JSON body are not logged.
    """
    found: list[str] = []
    for name, value in request.parameters.items():
        if name.partition("[")[0] in _ADDRESSES:
            found += [value] if isinstance(value, str) else value
    *_, last = request.path.split("/bounces/")
    if "@" in last and "/" in request.path:
        found.append(unquote(last))
    return found


def describe(request: LoggedRequest) -> str:
    """Return *request* in one line, without its credentials."""
    status = "dropped" if request.status is None else request.status
    values = [
        f"{name}={value if isinstance(value, str) else ','.join(value)}"
        for name, value in request.parameters.items()
    ]
    fault = [] if request.fault is None else [f"(fault rule {request.fault})"]
    time = render_instant(request.emulated_time)
    line = [time, status, request.method, request.path, *values, *fault]
    return " ".join(map(str, line))


def describe_all(requests: Sequence[LoggedRequest]) -> str:
    """Return the latest *requests*, one per line."""
    if not requests:
        return "  no requests"
    lines = [f"  {describe(request)}" for request in requests[-MAX_LISTED:]]
    if len(requests) > MAX_LISTED:
        lines.insert(0, f"  ... {len(requests) - MAX_LISTED} earlier requests")
    return "\n".join(lines)


def explain(requests: Sequence[LoggedRequest], conditions: Mapping[str, Any]) -> str:
    """Return the latest *requests*, each with the conditions that it misses."""
    if not requests:
        return "  no requests"
    lines = []
    for request in requests[-MAX_LISTED:]:
        missed = differences(request, conditions)
        note = f"  <- {', '.join(missed)}" if missed else ""
        lines.append(f"  {describe(request)}{note}")
    return "\n".join(lines)
