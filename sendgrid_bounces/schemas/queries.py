"""The schemas of the query parameters about bounces, and of a reset."""

from typing import Any

from marshmallow import fields

from sendgrid_bounces.core.accounts import MAX_NAME
from sendgrid_bounces.core.bounces import MAX_OFFSET, TYPES_BY_LABEL, BounceQuery
from sendgrid_bounces.core.histograms import DEFAULT_RANGE, RANGES
from sendgrid_bounces.schemas.base import (
    List,
    ParametersSchema,
    Text,
    integer,
    length,
    one_of,
)
from sendgrid_bounces.schemas.requests import Instant

#: How many bounces a response has by default, and at most.
DEFAULT_LIMIT, MAX_LIMIT = 100, 10_000

#: Longest pattern of an address or a status.
MAX_GLOB = 500

GROUPINGS = ("type", "day", "domain")


class ResetSchema(ParametersSchema):
    """The query parameters of a reset."""

    to = fields.String(
        validate=one_of(["seed", "empty"]),
        load_default="seed",
        metadata={"description": "empty leaves the database empty."},
    )
    account = fields.String(
        validate=length(1, MAX_NAME),
        load_default=None,
        metadata={"description": "Reset only this account, or this domain."},
    )


class OwnerSchema(ParametersSchema):
    """The owner of a bounce list."""

    owner = Text(
        validate=length(1, MAX_NAME),
        required=True,
        metadata={"description": "An account, or else a domain.", "example": "demo"},
    )


class DeleteSchema(OwnerSchema):
    """Which bounces to remove."""

    email = List(
        Text(validate=length(1, MAX_GLOB)),
        load_default=list,
        metadata={"description": "These addresses; without it, all bounces."},
    )


class CountBouncesSchema(OwnerSchema):
    """Which bounces to count."""

    type = Text(
        validate=one_of([*TYPES_BY_LABEL]),
        metadata={"description": "Only bounces of this type."},
    )
    status = Text(
        metadata={
            "description": (
                "A status in any letter case, in which * and ? match other characters."
            )
        }
    )
    email = List(
        Text(validate=length(1, MAX_GLOB)),
        load_default=list,
        metadata={
            "description": (
                "An address in any letter case, in which * and ? match others; "
                "500 such patterns at most."
            )
        },
    )
    since = Instant(metadata={"description": "The first instant."})
    until = Instant(metadata={"description": "The first instant after the range."})
    by = Text(
        validate=one_of(GROUPINGS),
        metadata={"description": "Also count each type, day or domain."},
    )


class ListBouncesSchema(CountBouncesSchema):
    """Which bounces to list."""

    after = Text(metadata={"description": "The value of next in a response."})
    limit = integer(
        1,
        MAX_LIMIT,
        strict=False,
        load_default=DEFAULT_LIMIT,
        metadata={"description": "At most this many bounces."},
    )
    offset = integer(
        0,
        MAX_OFFSET,
        strict=False,
        load_default=0,
        metadata={"description": "Bounces to pass over."},
    )

    class Meta:
        exclude = ("by",)


class HistogramSchema(ParametersSchema):
    """The days of a histogram."""

    days = Text(
        validate=one_of([*RANGES]),
        load_default=DEFAULT_RANGE,
        metadata={"description": "The days up to the newest bounce."},
    )


OWNER, DELETE = OwnerSchema(), DeleteSchema()
COUNT, LIST = CountBouncesSchema(), ListBouncesSchema()
HISTOGRAM = HistogramSchema()
RESET = ResetSchema()


def read_bounce_query(values: dict[str, Any]) -> BounceQuery:
    """Return the query of validated parameters, which are removed from *values*."""
    type_ = values.pop("type", None)
    return BounceQuery(
        created_from=values.pop("since", None),
        created_before=values.pop("until", None),
        type=None if type_ is None else TYPES_BY_LABEL[type_],
        status_glob=values.pop("status", ""),
        email_globs=tuple(values.pop("email")),
    )
