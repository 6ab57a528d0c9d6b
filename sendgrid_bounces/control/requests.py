"""The endpoints of the journal."""

import re
from dataclasses import asdict
from typing import Any

from flask import Response, jsonify
from marshmallow import ValidationError, fields, validate

from sendgrid_bounces.control.api import blueprint, expect_no_body, read_parameters
from sendgrid_bounces.control.service import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    STATUSES,
    current_control,
)
from sendgrid_bounces.core.clock import parse_instant, render_instant
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.schemas.base import StrictSchema, Text
from sendgrid_bounces.schemas.faults import OPERATIONS, VENDORS, operations
from sendgrid_bounces.web.requests import route

bp = blueprint("journal")

#: What a plus sign has become that was not encoded.
_BLANK = re.compile(r" (?=[0-9]{2}:[0-9]{2}\Z)")


class Instant(fields.Field[int]):
    """An instant, as the clock's endpoint writes it."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        try:
            return parse_instant(_BLANK.sub("+", value))
        except ParametersError as error:
            raise ValidationError(error.problems[0][1]) from None


class FilterSchema(StrictSchema):
    """Which entries are meant."""

    account = Text()
    domain = Text()
    operation = Text(validate=validate.OneOf(operations(None)))
    dialect = Text(validate=validate.OneOf([*VENDORS, *OPERATIONS]))
    status = fields.Integer(validate=validate.Range(*STATUSES))
    since = Instant()


class ListSchema(FilterSchema):
    """Which of them are shown."""

    limit = fields.Integer(
        load_default=DEFAULT_LIMIT, validate=validate.Range(1, MAX_LIMIT)
    )


FILTER, LIST = FilterSchema(), ListSchema()


@route(bp, "/requests", "GET")
def list_() -> Response:
    """Answer the last entries that match, oldest first."""
    entries = current_control().requests(**read_parameters(LIST))
    return jsonify(requests=[plain(entry) for entry in entries])


@route(bp, "/requests", "DELETE")
def clear() -> Response:
    """Remove all entries."""
    read_parameters()
    expect_no_body()
    return jsonify(removed=current_control().clear_requests())


@route(bp, "/requests/count", "GET")
def count() -> Response:
    """Answer how many entries match."""
    return jsonify(count=current_control().count_requests(**read_parameters(FILTER)))


def plain(entry: LoggedRequest) -> dict[str, Any]:
    """Return *entry* for JSON."""
    return {**asdict(entry), "time": render_instant(entry.time)}
