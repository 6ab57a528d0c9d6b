"""The parameters and credentials of the calls, parsed once into typed values."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from sendgrid_bounces.core.bounces import BounceQuery, BounceType
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import NoFilterError, ParametersError
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.web.requests import Parameters, current_request, request

#: Bytes that the body of a request may have.
MAX_BODY = 1024 * 1024

ONCE = "must be given once, by its plain name"

#: The parameters that identify the caller.
CREDENTIALS = ("api_user", "api_key")

#: Addresses that one call may name.
MAX_EMAILS = 1_000

#: The largest integer that a database holds.
MAX_INTEGER = 2**63 - 1

_EMAIL = re.compile(r"email(\[[0-9]*\])?")
_INTEGER = re.compile("[+-]?[0-9]{1,19}")
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Flag(fields.Field[bool]):
    """``1``; ``0`` equals an absent parameter."""

    def _deserialize(self, value: str, *_: Any, **__: Any) -> bool:
        if value not in ("0", "1"):
            raise ValidationError("must be set to 1")
        return value == "1"


class Integer(fields.Field[int]):
    """A decimal integer of at least *least*; *rule* is the error message.

    Wire: clients look for the capitalized name inside the error text.
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
    """A calendar date."""

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
    """Addresses to look up, in any form."""

    def _deserialize(self, value: list[str], *_: Any, **__: Any) -> tuple[str, ...]:
        if len(value) > MAX_EMAILS:
            raise ValidationError(f"must not be more than {MAX_EMAILS} addresses")
        if any("\0" in email for email in value):
            raise ValidationError("must not contain a NUL character")
        return tuple(value)


class FilterSchema(Schema):
    """The filters of all calls."""

    days = Integer(
        1,
        "must be an integer greater than 0",
        metadata={"description": "The last N days, including today."},
    )
    start_date = Day(metadata={"description": "The first day; overrides days."})
    end_date = Day(metadata={"description": "The last day, inclusive."})
    type = Type(
        metadata={
            "description": "hard is status class 5, soft is class 4; in any letter "
            "case."
        }
    )
    email = Emails(
        metadata={"description": "Addresses in any letter case; also as email[]."}
    )

    class Meta:
        unknown = EXCLUDE


class GetSchema(FilterSchema):
    """bounces.get."""

    date = Flag(
        metadata={"description": "1 adds created, the time of the bounce."},
    )
    limit = Integer(
        1,
        "Limit must be an integer greater than 0",
        metadata={"description": "At most N bounces."},
    )
    offset = Integer(
        0,
        "Offset must be an integer of 0 or more",
        metadata={"description": "Bounces to skip."},
    )


class DeleteSchema(FilterSchema):
    """bounces.delete."""

    delete_all = Flag(
        metadata={"description": "1 deletes everything, unless there is a filter."}
    )


GET, DELETE, COUNT = GetSchema(), DeleteSchema(), FilterSchema()


@dataclass(frozen=True, slots=True)
class Arguments:
    """The unparsed parameters of a request, without empty ones.

    :param values: the first value of each parameter; of ``email`` a list of all values.
    :param ambiguous: the parameters with different values.
    """

    values: Mapping[str, Any]
    ambiguous: Collection[str] = ()

    def get(self, name: str) -> str:
        """Return the value of the parameter *name*, or an empty text.

        :raises ParametersError: if the parameter is ambiguous.
        """
        if name in self.ambiguous:
            raise ParametersError([(name, ONCE)])
        return str(self.values.get(name, ""))


def read_arguments() -> Arguments:
    """Return the parameters of the query string and the body, without empty ones.

    They are parsed once for each request.

    :raises RequestError: if a part does not parse.

    Wire: ``email`` may be repeated, also as ``email[]`` and ``email[0]``.
    """
    sent = current_request()
    if sent.arguments is None:
        sent.arguments = _parse(sent.read_parameters(MAX_BODY))
    return cast(Arguments, sent.arguments)


def _parse(parameters: Parameters) -> Arguments:
    values: dict[str, str | list[str]] = {}
    emails: list[str] = []
    ambiguous = set()
    for name, value in parameters:
        if not value:
            continue
        if name.startswith("email") and _EMAIL.fullmatch(name):
            emails.append(value)
        elif values.setdefault(name, value) != value:
            ambiguous.add(name)
    if emails:
        values["email"] = emails
    return Arguments(values, ambiguous)


def read_credentials(arguments: Arguments) -> tuple[str, str]:
    """Return the user name and API key of the caller.

    :raises ParametersError: if a parameter is ambiguous.

    Wire: old clients send Basic credentials in addition to the parameters, or instead.
    """
    for name in CREDENTIALS:
        if name in arguments.ambiguous:
            raise ParametersError([(name, ONCE)])
    username = arguments.values.get("api_user", "")
    key = arguments.values.get("api_key", "")
    if not username and not key:
        basic = request.authorization
        if basic is not None and basic.type == "basic":
            return basic.username or "", basic.password or ""
    return username, key


@dataclass(frozen=True, slots=True)
class GetParams:
    """The parameters of bounces.get.

    :param dated: whether the response contains the times.
    """

    query: BounceQuery
    dated: bool
    limit: int | None
    offset: int


def read_get(arguments: Arguments, zone: TimeZone, clock: Clock) -> GetParams:
    """Return the parameters of bounces.get.

    :raises ParametersError: naming each parameter that does not parse.
    """
    values = _load(GET, arguments)
    return GetParams(
        query=_query(values, zone, clock),
        dated=values.get("date", False),
        limit=values.get("limit"),
        offset=values.get("offset", 0),
    )


def read_count(arguments: Arguments, zone: TimeZone, clock: Clock) -> BounceQuery:
    """Return the query of bounces.count.

    :raises ParametersError: naming each parameter that does not parse.
    """
    return _query(_load(COUNT, arguments), zone, clock)


def read_delete(
    arguments: Arguments, zone: TimeZone, clock: Clock, *, bare_means_all: bool
) -> BounceQuery:
    """Return the query of bounces.delete.

    A filter takes precedence over ``delete_all=1``, so the smaller deletion happens.
    Unknown parameters alone are an error: one may be a misspelled filter.

    :param bare_means_all: whether a call without parameters deletes the list.
    :raises ParametersError: naming each parameter that does not parse.
    :raises NoFilterError: without a filter, unless that deletes the list.

    Wire: cases/sendgrid/delete.http.
    """
    values = _load(DELETE, arguments)
    query = _query(values, zone, clock)
    is_bare = arguments.values.keys() <= {*CREDENTIALS}
    means_all = values.get("delete_all", bare_means_all and is_bare)
    if query.is_everything and not means_all:
        raise NoFilterError
    return query


def _load(schema: Schema, arguments: Arguments) -> dict[str, Any]:
    """Parse the parameters of *schema*, each of which must be unambiguous."""
    if arguments.ambiguous or "[" in "".join(arguments.values):
        _check_unambiguous(schema, arguments)
    problems = []
    values: dict[str, Any] = {}
    for name, field in schema.fields.items():  # load() takes five times as long
        if name in arguments.values:
            try:
                values[name] = field.deserialize(arguments.values[name])
            except ValidationError as error:
                problems += [(name, str(text)) for text in error.messages]
    if problems:
        raise ParametersError(problems)
    return values


def _check_unambiguous(schema: Schema, arguments: Arguments) -> None:
    problems = []
    for name in arguments.values:
        plain = name.partition("[")[0]
        if plain in schema.fields and (plain != name or name in arguments.ambiguous):
            problems.append((plain, ONCE))
    if problems:
        raise ParametersError(problems)


def _query(values: Mapping[str, Any], zone: TimeZone, clock: Clock) -> BounceQuery:
    """Return the query; explicit dates take precedence over ``days``.

    ``end_date`` is inclusive on the wire; the query ends before the next day.
    """
    first, last = values.get("start_date"), values.get("end_date")
    if first and last and first > last:
        raise ParametersError(
            [("start_date", "Date must be earlier than the end_date parameter")]
        )
    if not first and not last and "days" in values:
        last = zone.today(clock.now())
        first = last - timedelta(min(values["days"], last.toordinal()) - 1)
    return BounceQuery(
        created_from=zone.day_starts[first] if first else None,
        created_before=zone.day_end(last) if last else None,
        type=values.get("type"),
        emails=values.get("email", ()),
    )
