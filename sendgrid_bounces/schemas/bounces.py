"""A bounce as people write it down: in seed files, exports and imports."""

from typing import Any

from marshmallow import fields

from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.clock import render_instant
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.schemas.base import StrictSchema, Text, load

#: The fields of a record, in the order of exports.
FIELDS = ("email", "status", "code", "reason", "created", "reported")


class RecordSchema(StrictSchema):
    """A record; what its texts must be is checked where a bounce is made of them."""

    email = Text(required=True)
    status = Text()
    code = fields.Raw()
    reason = Text()
    created = Text(allow_none=True)
    reported = fields.Boolean(allow_none=True)


RECORD = RecordSchema()


def read_record(raw: Any, zone: TimeZone, now: int) -> Bounce:
    """Return the bounce that the mapping *raw* describes.

    ``created`` is a time in *zone*, unless it says its offset; without it, *now*.
    Without ``status`` and ``code`` the code is 550. A code that is a number, not text,
    says that a mail server reported it, unless ``reported`` says otherwise.

    :raises ParametersError: naming each field that is wrong.
    """
    record = load(RECORD, raw)
    code, status = record.get("code", ""), record.get("status", "")
    created, reported = now, record.get("reported")
    if isinstance(code, bool) or not isinstance(code, str | int):
        raise ParametersError([("code", "must be text or a whole number")])
    if record.get("created"):
        try:
            created = zone.parse(record["created"])
        except (ValueError, OverflowError) as error:
            raise ParametersError([("created", str(error))]) from None
    return Bounce(
        email=record["email"],
        status=status,
        code=str(code) if code or status else "550",
        reason=record.get("reason", ""),
        created=created,
        reported=isinstance(code, int) if reported is None else reported,
    )


def write_record(bounce: Bounce) -> dict[str, Any]:
    """Return *bounce* as the mapping that :func:`read_record` reads back."""
    return {
        "email": bounce.email,
        "status": bounce.status,
        "code": bounce.code,
        "reason": bounce.reason,
        "created": render_instant(bounce.created),
        "reported": bounce.reported,
    }
