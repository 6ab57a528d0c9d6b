"""The routes of bounces."""

import io
import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from sendgrid_bounces.control import api, documents
from sendgrid_bounces.control.api import route
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.timezones import account_zone
from sendgrid_bounces.schemas.base import as_mapping
from sendgrid_bounces.schemas.bounces import read_record
from sendgrid_bounces.schemas.imports import (
    READERS,
    find_records,
    limit_rows,
    rename_fields,
)
from sendgrid_bounces.schemas.queries import (
    COUNT,
    DELETE,
    HISTOGRAM,
    LIST,
    OWNER,
    read_bounce_query,
)
from sendgrid_bounces.web.requests import request

#: The media type of a body with one bounce per line, of any length.
NDJSON = "application/x-ndjson"

DECODER = json.JSONDecoder(object_pairs_hook=as_mapping)

#: The format of a body that is a file, by media type.
FILE_FORMATS = {
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "text/plain": "text",
}

Records = Iterator[tuple[str, Any]]


def read_records() -> Records:
    """Yield each bounce of the body, or the problem with it, after its place.

    :raises RequestError: if the body is not JSON.
    :raises ParametersError: if a line is not JSON, or the header of a file invalid.
    """
    if request.mimetype == NDJSON:
        yield from _read_lines()
    elif file_format := FILE_FORMATS.get(request.mimetype):
        file = io.StringIO(api.read_text(), newline="")
        yield from limit_rows(READERS[file_format](file, False))  # noqa: FBT003 - by position
    else:
        document = api.read_json()
        records = find_records(document)
        is_single = len(records) == 1 and records[0] is document
        for index, record in enumerate(records):
            yield "" if is_single else f"[{index}]", record


@route("/bounces", "GET", query=LIST)
def list_bounces(
    control: Control,
    owner: str,
    limit: int,
    offset: int,
    after: str | None = None,
    **query: Any,
) -> dict[str, Any]:
    """List the bounces of an account or domain that match, oldest first."""
    found = control.bounces(
        owner, read_bounce_query(query), limit=limit, offset=offset, after=after
    )
    return documents.render_batch(found)


@route("/bounces", "POST", query=OWNER, body=read_records, status=HTTPStatus.CREATED)
def put_bounces(control: Control, owner: str, body: Records) -> dict[str, Any]:
    """Add bounces, and replace earlier bounces of the same addresses."""
    return {"stored": control.put_bounces(owner, _read_bounces(control, owner, body))}


@route("/bounces", "DELETE", query=DELETE)
def remove_bounces(
    control: Control, owner: str, email: Sequence[str]
) -> dict[str, Any]:
    """Remove the bounces of some addresses, or all."""
    return {"removed": control.remove_bounces(owner, email)}


@route("/bounces/count", "GET", query=COUNT)
def count_bounces(
    control: Control, owner: str, by: str | None = None, **query: Any
) -> dict[str, Any]:
    """Count the bounces that match."""
    found = control.count_bounces(owner, read_bounce_query(query), by)
    return documents.render_count(found)


@route("/bounces/histogram", "GET", query=HISTOGRAM)
def show_histogram(control: Control, days: str) -> dict[str, Any]:
    """Count the bounces on all lists over time, by type."""
    return documents.render_histogram(control.histogram(days))


def _read_lines() -> Records:
    for number, line in enumerate(request.read_lines(), 1):
        place = f"line {number}"
        try:
            yield place, DECODER.decode(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise ParametersError([(place, f"not JSON: {error}")]) from None


def _read_bounces(control: Control, owner: str, records: Records) -> Iterator[Bounce]:
    zone = account_zone(control.owner(owner).timezone)
    now = control.clock().now
    for place, record in request.while_connected(records):
        try:
            if isinstance(record, ParametersError):
                raise record
            yield read_record(rename_fields(record), zone, now)
        except ParametersError as error:
            raise error.within(place, ", ") if place else error from None
