"""Which requests a fault rule or a query of the request log selects."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import ValidationError, fields

from sendgrid_bounces.core.clock import parse_instant
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.schemas.base import (
    MESSAGES,
    Integer,
    ParametersSchema,
    Problem,
    Text,
    must_be_one_of,
)

#: The operations of each dialect, by its name.
Operations = Mapping[str, tuple[str, ...]]

#: How many logged requests a query returns by default, and at most.
DEFAULT_LIMIT, MAX_LIMIT = 100, 10_000

MIN_STATUS, MAX_STATUS = 100, 599

#: The blank before a UTC offset: a plus sign that was not percent-encoded.
_BLANK = re.compile(r" (?=[0-9]{2}:[0-9]{2}\Z)")


class Instant(fields.Field[int]):
    """An instant such as ``2012-02-15T12:00:00Z``."""

    default_error_messages = MESSAGES

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        try:
            return parse_instant(_BLANK.sub("+", value))
        except ParametersError as error:
            raise ValidationError(error.problems[0][1]) from None


class Digits(Integer):
    """An integer in a query string."""

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> int:
        if value.isascii() and value.isdigit() and len(value) <= len(str(self.most)):
            value = int(value)
        return super()._deserialize(value, *arguments, **options)


class CountSchema(ParametersSchema):
    """The filters of the request log: the fields of :class:`RequestFilter`."""

    account = Text(metadata={"description": "The name of the account."})
    domain = Text(metadata={"description": "The Mailgun domain."})
    operation = Text(metadata={"description": "The operation, such as get."})
    dialect = Text(metadata={"description": "A dialect or a vendor."})
    status = Digits(
        MIN_STATUS, MAX_STATUS, metadata={"description": "The response status."}
    )
    since = Instant(
        metadata={"description": "The first instant; UTC unless it has an offset."}
    )


class ListSchema(CountSchema):
    """The filters, and how many requests to list."""

    limit = Digits(
        1,
        MAX_LIMIT,
        load_default=DEFAULT_LIMIT,
        metadata={"description": "At most this many requests, the latest ones."},
    )


COUNT, LIST = CountSchema(), ListSchema()


def dialect_names(operations: Operations) -> tuple[str, ...]:
    """Return the vendors and the dialects, such as ``mailgun`` and ``mailgun.v3``."""
    vendors = list(dict.fromkeys(_vendor(name) for name in operations))
    by_vendor = sorted(
        operations, key=lambda name: (vendors.index(_vendor(name)), name)
    )
    return (*vendors, *by_vendor)


def operation_names(
    operations: Operations, dialect: str | None = None
) -> tuple[str, ...]:
    """Return the operations of a dialect, of a vendor's dialects, or of all."""
    found = (
        operation
        for name, listed in operations.items()
        if dialect in (None, name, _vendor(name))
        for operation in listed
    )
    return tuple(dict.fromkeys(found))


def check_names(
    operations: Operations, dialect: str | None, operation: str | None
) -> Iterator[Problem]:
    """Yield the problems of unknown names; None is no problem."""
    if dialect is not None:
        known = dialect_names(operations)
        if dialect not in known:
            yield "dialect", must_be_one_of(known, dialect)
            dialect = None
    if operation is not None:
        known = operation_names(operations, dialect)
        if operation not in known:
            yield "operation", must_be_one_of(known, operation)


def _vendor(dialect: str) -> str:
    return dialect.partition(".")[0]
