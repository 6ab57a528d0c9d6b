"""The parameters of the calls: raw text at the door, typed values from here on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from sendgrid_bounces.core.bounces import BounceQuery, BounceType
from sendgrid_bounces.core.clock import WallClock
from sendgrid_bounces.core.errors import NoFilterError, ParametersError
from sendgrid_bounces.schemas.base import load

ONCE = "must be given once, by its plain name"

#: The parameters that say who calls.
CREDENTIALS = {"api_user", "api_key"}

#: How many addresses one call may name.
MAX_EMAILS = 1_000

#: Larger numbers are in no database.
MAX_INTEGER = 2**63 - 1

_INTEGER = re.compile("[+-]?[0-9]{1,19}")
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Flag(fields.Field[bool]):
    """``1``; ``0`` is as good as nothing."""

    def _deserialize(self, value: str, *_: Any, **__: Any) -> bool:
        if value not in ("0", "1"):
            raise ValidationError("must be set to 1")
        return value == "1"


class Integer(fields.Field[int]):
    """A decimal integer of at least *least*; *rule* says so to the caller.

    Wire: clients look for the name, capitalised, inside the text of the error.
    """

    def __init__(self, least: int, rule: str, **options: Any) -> None:
        super().__init__(**options)
        self.least = least
        self.rule = rule

    def _deserialize(self, value: str, *_: Any, **__: Any) -> int:
        if _INTEGER.fullmatch(value) and self.least <= int(value) <= MAX_INTEGER:
            return int(value)
        raise ValidationError(self.rule)


class Day(fields.Field[date]):
    """A real day of the calendar."""

    def _deserialize(self, value: str, *_: Any, **__: Any) -> date:
        if not _DAY.fullmatch(value):
            raise ValidationError("Date must be in YYYY-MM-DD format")
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValidationError("Date must be a day of the calendar") from None


class Type(fields.Field[BounceType]):
    """``hard`` or ``soft``, in any letter case."""

    types = {"hard": BounceType.HARD, "soft": BounceType.SOFT}

    def _deserialize(self, value: str, *_: Any, **__: Any) -> BounceType:
        try:
            return self.types[value.lower()]
        except KeyError:
            raise ValidationError("must be hard or soft") from None


class Emails(fields.Field[tuple[str, ...]]):
    """Addresses to look for. Whether they are well-formed does not matter here."""

    def _deserialize(self, value: list[str], *_: Any, **__: Any) -> tuple[str, ...]:
        if len(value) > MAX_EMAILS:
            raise ValidationError(f"must not be more than {MAX_EMAILS} addresses")
        if any("\0" in email for email in value):
            raise ValidationError("must not contain a NUL character")
        return tuple(value)


class FilterSchema(Schema):
    """What picks bounces, in all calls."""

    days = Integer(1, "must be an integer greater than 0")
    start_date = Day()
    end_date = Day()
    type = Type()
    email = Emails()

    class Meta:
        unknown = EXCLUDE


class GetSchema(FilterSchema):
    """bounces.get."""

    date = Flag()
    limit = Integer(1, "Limit must be an integer greater than 0")
    offset = Integer(0, "Offset must be an integer of 0 or more")


class DeleteSchema(FilterSchema):
    """bounces.delete."""

    delete_all = Flag()


GET, DELETE, COUNT = GetSchema(), DeleteSchema(), FilterSchema()


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a request says, unparsed and without what is empty.

    :param texts: what each parameter was set to, but for the addresses.
    :param emails: the addresses, of which there may be several.
    """

    texts: Mapping[str, Sequence[str]]
    emails: Sequence[str]

    def get(self, name: str) -> str:
        """Return what the parameter *name* was set to; empty if it was not.

        :raises ParametersError: if it was set to different things.
        """
        texts = self.texts.get(name, ("",))
        if len(set(texts)) > 1:
            raise ParametersError([(name, ONCE)])
        return texts[0]


@dataclass(frozen=True, slots=True)
class GetParams:
    """What bounces.get asks for."""

    query: BounceQuery
    dated: bool
    limit: int | None
    offset: int


def read_get(arguments: Arguments, clock: WallClock, now: int) -> GetParams:
    """Return what bounces.get asks for.

    :raises ParametersError: naming each parameter that does not parse.
    """
    values = _load(GET, arguments)
    return GetParams(
        query=_query(values, clock, now),
        dated=values.get("date", False),
        limit=values.get("limit"),
        offset=values.get("offset", 0),
    )


def read_count(arguments: Arguments, clock: WallClock, now: int) -> BounceQuery:
    """Return which bounces bounces.count counts.

    :raises ParametersError: naming each parameter that does not parse.
    """
    return _query(_load(COUNT, arguments), clock, now)


def read_delete(
    arguments: Arguments, clock: WallClock, now: int, *, bare_means_all: bool
) -> BounceQuery:
    """Return which bounces bounces.delete deletes.

    A filter beside ``delete_all=1`` wins: the narrow thing is deleted. A call with
    parameters of which none is known is not one without parameters: it may have meant
    a filter.

    :param bare_means_all: whether a call without parameters means everything.
    :raises ParametersError: naming each parameter that does not parse.
    :raises NoFilterError: if nothing is named, and that does not mean everything.

    Wire: cases/sendgrid/delete.http.
    """
    values = _load(DELETE, arguments)
    query = _query(values, clock, now)
    is_bare = set(arguments.texts) <= CREDENTIALS
    means_all = values.get("delete_all", bare_means_all and is_bare)
    if query.is_everything and not means_all:
        raise NoFilterError
    return query


def _load(schema: Schema, arguments: Arguments) -> dict[str, Any]:
    """Parse what *schema* knows, none of which may be said in two ways."""
    given: dict[str, Any] = {}
    faults = []
    for name, texts in arguments.texts.items():
        plain = name.partition("[")[0]
        if plain in schema.fields and (plain != name or len(set(texts)) > 1):
            faults.append((plain, ONCE))
        given[name] = texts[0]
    if faults:
        raise ParametersError(faults)
    if arguments.emails:
        given["email"] = arguments.emails
    return load(schema, given)


def _query(values: Mapping[str, Any], clock: WallClock, now: int) -> BounceQuery:
    """Return the query; explicit dates win over ``days``.

    Ranges of days include both ends, and become half-open ranges of instants.
    """
    first, last = values.get("start_date"), values.get("end_date")
    if first and last and first > last:
        raise ParametersError(
            [("start_date", "Date must be earlier than the end_date parameter")]
        )
    if not first and not last and "days" in values:
        last = clock.today(now)
        first = last - timedelta(min(values["days"], last.toordinal()) - 1)
    return BounceQuery(
        created_from=clock.day_start(first) if first else None,
        created_before=clock.day_end(last) if last else None,
        type=values.get("type"),
        emails=values.get("email", ()),
    )
