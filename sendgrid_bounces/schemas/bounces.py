"""The schema of a bounce in seed files, exports and imports."""

from typing import Any

from marshmallow import ValidationError, fields

from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.messages import got
from sendgrid_bounces.core.plausibility import find_doubts
from sendgrid_bounces.core.times import Time, parse_record_time
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.schemas.base import (
    MESSAGES,
    Problem,
    StrictSchema,
    Text,
    load,
)

#: The longest implausible address that a message repeats. No API key contains ``@``.
MAX_SHOWN_ADDRESS = 64


class Code(fields.Field[str | int]):
    """A reply code: text, or an integer."""

    default_error_messages = MESSAGES

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str | int:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValidationError("must be text or an integer")
        return value


class Created(fields.Field[Time]):
    """A time: text, or Unix seconds."""

    default_error_messages = MESSAGES

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Time:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValidationError("must be a time: text, or Unix seconds")
        return value


class RecordSchema(StrictSchema):
    """The fields of a bounce, in the order of exports; null means absent.

    :class:`Bounce` checks the texts.
    """

    email = Text(required=True)
    status = Text(allow_none=True)
    code = Code(
        allow_none=True,
        metadata={"description": "An integer if a mail server reported the bounce."},
    )
    reason = Text(allow_none=True)
    created = Created(
        allow_none=True,
        metadata={
            "description": "A time in the account's time zone unless it has an offset; "
            "the year 1 means none."
        },
    )
    reported = fields.Boolean(
        allow_none=True,
        error_messages={**MESSAGES, "invalid": "must be true or false"},
    )


RECORD = RecordSchema()

#: The names of the fields.
FIELDS = tuple(RECORD.fields)

#: The types of the values that need no conversion.
_PLAIN = {**dict.fromkeys(FIELDS, str), "reported": bool}


def read_record(raw: Any, zone: TimeZone, now: int) -> Bounce:
    """Return the bounce of a mapping; see :func:`read_dated_record`."""
    bounce, _ = read_dated_record(raw, zone, now)
    return bounce


def read_dated_record(raw: Any, zone: TimeZone, now: int) -> tuple[Bounce, bool]:
    """Return the bounce of a mapping, and whether the mapping has its time.

    An integer as code means that a mail server reported the bounce, unless the record
    has ``reported``. Blanks around each text except the reason are removed.

    :param zone: the time zone of ``created``.
    :param now: the instant of a record without ``created``.
    :raises ParametersError: with the problem of each invalid field.
    """
    return _read(raw if _is_plain(raw) else load(RECORD, raw), zone, now)


def _is_plain(raw: Any) -> bool:
    """Return whether *raw* is what the schema, which is slow, would make of it."""
    if type(raw) is not dict or "email" not in raw:
        return False
    for name, value in raw.items():
        if type(value) is not _PLAIN.get(name):
            return False
        if type(value) is str and not value.isascii():
            return False
    return True


def read_text_record(record: dict[str, Any], zone: TimeZone, now: int) -> Bounce:
    """Return the bounce of a row; see :func:`read_dated_record`.

    :param record: texts by the names of their fields.
    """
    if "email" not in record:
        raise ParametersError([("email", "required")])
    if "reported" in record:
        reported = {"true": True, "false": False}.get(record["reported"].lower())
        if reported is None:
            problem = f"must be True or False{got(record['reported'])}"
            raise ParametersError([("reported", problem)])
        record = {**record, "reported": reported}
    bounce, _ = _read(record, zone, now)
    return bounce


def _read(record: dict[str, Any], zone: TimeZone, now: int) -> tuple[Bounce, bool]:
    code, status = record.get("code"), (record.get("status") or "").strip()
    code_text = "" if code is None else str(code).strip()
    created, reported = record.get("created"), record.get("reported")
    try:
        instant = parse_record_time(created, zone)
    except ValueError as error:
        raise ParametersError([("created", f"{error}{got(created)}")]) from None
    bounce = Bounce(
        email=record["email"].strip(),
        status=status,
        code=code_text,
        reason=record.get("reason") or "",
        created=now if instant is None else instant,
        reported=isinstance(code, int) if reported is None else reported,
    )
    return bounce, instant is not None


def describe_doubts(bounce: Bounce) -> list[Problem]:
    """Return the implausible fields of *bounce*, with messages that have the values."""
    return [
        (field, f"{text}{_got(field, getattr(bounce, field))}")
        for field, text in find_doubts(bounce)
    ]


def _got(field: str, value: str) -> str:
    """Return ``(got ...)``; an address may be longer than other values."""
    if field == "email" and "@" in value and len(value) <= MAX_SHOWN_ADDRESS:
        return f" (got {value!r})"
    return got(value)
