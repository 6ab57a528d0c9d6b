"""The schemas of queries of the request log."""

import re
from typing import Any

from marshmallow import ValidationError, fields

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.requests import MAX_ID, status_range
from sendgrid_bounces.core.times import parse_instant
from sendgrid_bounces.schemas.base import (
    MESSAGES,
    ParametersSchema,
    Text,
    integer,
)

#: How many logged requests a query returns by default, and at most.
DEFAULT_LIMIT, MAX_LIMIT = 100, 10_000

#: How many seconds to wait for requests by default, and at most.
DEFAULT_WAIT, MAX_WAIT = 5, 30

#: The blank before a UTC offset: a plus sign that was not percent-encoded.
_BLANK = re.compile(r"([:.,][0-9]+) (?=[0-9]{2}:?[0-9]{2}\Z)")


class Instant(fields.Field[int]):
    """An instant such as ``2012-02-15T12:00:00Z``."""

    default_error_messages = MESSAGES

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        try:
            return parse_instant(_BLANK.sub(r"\1+", value))
        except ParametersError as error:
            raise ValidationError(error.problems[0][1]) from None


class Status(fields.Field[str]):
    """A response status, or a class such as ``5xx``."""

    default_error_messages = MESSAGES

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        try:
            status_range(value)
        except ParametersError as error:
            raise ValidationError(error.problems[0][1]) from None
        return str(value)


class CountSchema(ParametersSchema):
    """The filters of the request log: the fields of :class:`RequestFilter`."""

    account = Text(metadata={"description": "The name of the account."})
    domain = Text(metadata={"description": "The Mailgun domain."})
    operation = Text(metadata={"description": "The operation, such as get."})
    dialect = Text(metadata={"description": "A dialect or a vendor."})
    status = Status(
        metadata={"description": "The response status, or a class such as 5xx."}
    )
    since = Instant(
        metadata={"description": "The first instant; UTC unless it has an offset."}
    )


class ListSchema(CountSchema):
    """The filters, and how many requests to list."""

    after = integer(
        0,
        MAX_ID,
        strict=False,
        metadata={
            "description": "Only requests after this identifier: the first ones."
        },
    )
    limit = integer(
        1,
        MAX_LIMIT,
        strict=False,
        load_default=DEFAULT_LIMIT,
        metadata={"description": "At most this many requests, the latest ones."},
    )


class WaitSchema(CountSchema):
    """The filters, and how many requests to wait for."""

    count = integer(
        1,
        MAX_LIMIT,
        strict=False,
        load_default=1,
        metadata={"description": "Wait for this many matching requests."},
    )
    timeout = integer(
        0,
        MAX_WAIT,
        strict=False,
        load_default=DEFAULT_WAIT,
        metadata={"description": "Seconds to wait at most."},
    )


COUNT, LIST, WAIT = CountSchema(), ListSchema(), WaitSchema()
