"""The parameters and bodies of v3, parsed once into typed values."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from sendgrid_bounces.core.bounces import LATEST, BounceQuery, BounceType
from sendgrid_bounces.core.errors import ParametersError, RequestError
from sendgrid_bounces.core.timezones import time_zone
from sendgrid_bounces.dialects.sendgrid.params import Day
from sendgrid_bounces.schemas.base import as_mapping, load

#: Wire: at most 500 rows per page, documented; the same without ``limit``, reported.
MAX_LIMIT = 500

#: Addresses per DELETE statement.
CHUNK = 500

_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile("-?[0-9]{1,18}")

BODY_RULE = "the body must be a JSON object"


class Number(fields.Field[int]):
    """A decimal integer from *least* to *most*; *rule* is the error message."""

    def __init__(self, least: int, most: int, rule: str) -> None:
        super().__init__()
        self.least = least
        self.most = most
        self.rule = rule

    def _deserialize(self, value: str, *_: Any, **__: Any) -> int:
        if _INTEGER.fullmatch(value) and self.least <= int(value) <= self.most:
            return int(value)
        raise ValidationError(self.rule)


def _time() -> Number:
    return Number(0, LATEST, "must be a time in Unix seconds")


class ListSchema(Schema):
    """The parameters of a list."""

    start_time = _time()
    end_time = _time()
    limit = Number(1, MAX_LIMIT, f"must be an integer from 1 to {MAX_LIMIT}")
    offset = Number(0, 2**53, "must be an integer of 0 or more")
    email = fields.String()

    class Meta:
        unknown = EXCLUDE


class DaysSchema(Schema):
    """The parameters of the classifications."""

    start_date = Day()
    end_date = Day()

    class Meta:
        unknown = EXCLUDE


LIST, DAYS = ListSchema(), DaysSchema()


@dataclass(frozen=True, slots=True)
class ListParams:
    """The parameters of a list."""

    query: BounceQuery
    limit: int
    offset: int


def read_list(pairs: list[tuple[str, str]], only: BounceQuery) -> ListParams:
    """Return the parameters of a list.

    :param only: the query of the whole list.
    :raises ParametersError: naming each parameter that does not parse.

    Wire: times are inclusive at both ends. ``email`` is a prefix, in which ``%``
    matches any text. Unknown parameters are ignored (inferred).
    """
    values = load(LIST, _single_values(LIST, pairs))
    start, end = values.get("start_time"), values.get("end_time")
    if start is not None and end is not None and start > end:
        raise ParametersError([("start_time", "must not be later than end_time")])
    email = values.get("email", "")
    query = BounceQuery(
        created_from=start,
        created_before=None if end is None else end + 1,
        type=only.type,
        excluded_type=only.excluded_type,
        pattern=f"{email}%" if email.strip("%") else "",
    )
    return ListParams(query, values.get("limit", MAX_LIMIT), values.get("offset", 0))


def read_days(pairs: list[tuple[str, str]], only: BounceQuery) -> BounceQuery:
    """Return the query of the classifications; days are in UTC.

    :raises ParametersError: naming each parameter that does not parse.
    """
    values = load(DAYS, _single_values(DAYS, pairs))
    first: date | None = values.get("start_date")
    last: date | None = values.get("end_date")
    if first and last and first > last:
        raise ParametersError([("start_date", "must not be later than end_date")])
    zone = time_zone("UTC")
    return BounceQuery(
        created_from=zone.day_starts[first] if first else None,
        created_before=zone.day_end(last) if last else None,
        type=only.type,
        excluded_type=only.excluded_type,
    )


def read_delete(body: bytes, only: BounceQuery) -> list[BounceQuery]:
    """Return the queries of a DELETE with a body: addresses, or the whole list.

    :raises RequestError: if the body is not a JSON object, or names nothing, or both.
    :raises ParametersError: if a value is invalid.

    Wire: that both keys together are an error, even ``"delete_all": false``, is
    recorded. An unclear body deletes nothing (inferred).
    """
    document = parse_body(body)
    if {"emails", "delete_all"} <= document.keys():
        raise RequestError("emails and delete_all cannot both be set")
    if "emails" in document:
        emails = _checked_emails(document["emails"])
        return [
            BounceQuery(
                type=only.type,
                excluded_type=only.excluded_type,
                emails=emails[start : start + CHUNK],
            )
            for start in range(0, len(emails), CHUNK)
        ]
    match document.get("delete_all", False):
        case True:
            return [only]
        case False:
            raise RequestError("emails or delete_all must be set")
        case _:
            raise ParametersError([("delete_all", "must be true")])


def parse_body(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object in *body*; an empty body is an empty object.

    :raises RequestError: if it is anything else.

    Wire: clients send JSON without a ``Content-Type``, or with another one.
    """
    if not body:
        return {}
    try:
        # Decoded here, since json.loads() would guess the encoding.
        document = json.loads(body.decode(), object_pairs_hook=as_mapping)
    except (ValueError, RecursionError, ParametersError):
        raise RequestError(BODY_RULE) from None
    if not isinstance(document, dict):
        raise RequestError(BODY_RULE)
    return document


def _checked_emails(value: Any) -> tuple[str, ...]:
    """Return *value*, which must be a list of addresses."""
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(email, str) and _is_text(email) for email in value)
    ):
        raise ParametersError([("emails", "must be an array of one or more addresses")])
    return tuple(value)


def _is_text(value: str) -> bool:
    """Return whether a database can hold *value*; JSON may escape half a character."""
    return bool(value) and "\0" not in value and not _SURROGATE.search(value)


def _single_values(schema: Schema, pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters of *schema* that are not empty.

    :raises ParametersError: if a parameter has different values.
    """
    values: dict[str, str] = {}
    ambiguous = set()
    for name, value in pairs:
        if value and name in schema.fields and values.setdefault(name, value) != value:
            ambiguous.add(name)
    if ambiguous:
        raise ParametersError(
            [(name, "must be given once") for name in sorted(ambiguous)]
        )
    return values


#: The queries of the lists: class 4 of the status is in ``blocks``, all else in
#: ``bounces`` (inferred).
LISTS: Mapping[str, BounceQuery] = {
    "bounces": BounceQuery(excluded_type=BounceType.SOFT),
    "blocks": BounceQuery(type=BounceType.SOFT),
}
