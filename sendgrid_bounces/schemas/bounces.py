"""The schema of a bounce in seed files, exports and imports."""

from typing import Any

from marshmallow import ValidationError, fields

from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.clock import render_instant
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.schemas.base import MESSAGES, StrictSchema, Text, load

#: The code of a bounce that has neither code nor status.
DEFAULT_CODE = "550"


class Code(fields.Field[str | int]):
    """A reply code: text, or an integer."""

    default_error_messages = MESSAGES

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str | int:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValidationError("must be text or an integer")
        return value


class RecordSchema(StrictSchema):
    """The fields of a bounce, in the order of exports.

    :class:`Bounce` checks the texts.
    """

    email = Text(required=True)
    status = Text()
    code = Code(
        metadata={"description": "An integer if a mail server reported the bounce."}
    )
    reason = Text()
    created = Text(
        allow_none=True,
        metadata={
            "description": "A time in the account's time zone unless it has an offset."
        },
    )
    reported = fields.Boolean(
        allow_none=True,
        error_messages={**MESSAGES, "invalid": "must be true or false"},
    )


RECORD = RecordSchema()

#: The names of the fields.
FIELDS = tuple(RECORD.fields)


def read_record(raw: Any, zone: TimeZone, now: int) -> Bounce:
    """Return the bounce of a mapping.

    An integer as code means that a mail server reported the bounce, unless the record
    has ``reported``.

    :param zone: the time zone of ``created``.
    :param now: the instant of a record without ``created``.
    :raises ParametersError: with the problem of each invalid field.
    """
    record = load(RECORD, raw)
    code, status = record.get("code", ""), record.get("status", "")
    created, reported = now, record.get("reported")
    if record.get("created"):
        try:
            created = zone.parse(record["created"])
        except (ValueError, OverflowError) as error:
            raise ParametersError([("created", str(error))]) from None
    return Bounce(
        email=record["email"],
        status=status,
        code=str(code) if code or status else DEFAULT_CODE,
        reason=record.get("reason", ""),
        created=created,
        reported=isinstance(code, int) if reported is None else reported,
    )


def write_record(bounce: Bounce) -> dict[str, Any]:
    """Return the mapping of *bounce*, which :func:`read_record` reads."""
    record = {name: getattr(bounce, name) for name in FIELDS}
    return {**record, "created": render_instant(bounce.created)}
