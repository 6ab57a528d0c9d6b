"""The schemas of accounts and domains in control requests."""

from typing import Any

from marshmallow import ValidationError, fields, validate

from sendgrid_bounces.core.accounts import MAX_NAME, NAME_RULE
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.profiles import parse_profile
from sendgrid_bounces.schemas.base import MESSAGES, StrictSchema, Text, length, one_of


class Profile(fields.Field[str]):
    """A profile: a preset, text, or a mapping of points."""

    default_error_messages = MESSAGES

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        try:
            return parse_profile(value)
        except ParametersError as error:
            place, text = error.problems[0]
            point = place.partition(".")[2]
            raise ValidationError(f"{point} {text}".strip()) from None


class NewAccountSchema(StrictSchema):
    """A new account."""

    name = Text(
        validate=validate.Length(1, MAX_NAME, error=NAME_RULE),
        required=True,
        metadata={"example": "acme"},
    )
    api_key = Text(metadata={"description": "Without it, the account has no calls."})
    reseller = Text(
        metadata={"description": "The reseller of a customer."},
        allow_none=True,
    )
    profile = Profile(
        allow_none=True,
        metadata={"description": "null for the profile of the server."},
    )
    timezone = Text(metadata={"description": "A name such as Europe/Berlin."})


class AccountChangeSchema(StrictSchema):
    """The fields of an account to change."""

    api_key = Text()
    profile = Profile(
        allow_none=True,
        metadata={"description": "null for the profile of the server."},
    )
    timezone = Text(metadata={"description": "A name such as Europe/Berlin."})


class NewDomainSchema(StrictSchema):
    """A new Mailgun domain."""

    name = Text(
        validate=length(1, MAX_NAME),
        required=True,
        metadata={"example": "mg.example.com"},
    )
    account = Text(
        validate=length(1, MAX_NAME), required=True, metadata={"example": "demo"}
    )
    list = Text(
        validate=one_of(["own", "account"]),
        load_default="own",
        metadata={"description": "Whether it shares the bounces of the account."},
    )


NEW_ACCOUNT, ACCOUNT_CHANGE = NewAccountSchema(), AccountChangeSchema()
NEW_DOMAIN = NewDomainSchema()
