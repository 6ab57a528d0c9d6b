"""The schemas of accounts and domains in control requests."""

from sendgrid_bounces.core.accounts import MAX_NAME, PROFILES
from sendgrid_bounces.schemas.base import StrictSchema, Text, length, one_of

NAME_LENGTH = length(1, MAX_NAME)


class NewAccountSchema(StrictSchema):
    """A new account."""

    name = Text(
        validate=length(1, MAX_NAME), required=True, metadata={"example": "acme"}
    )
    api_key = Text(metadata={"description": "Without it, the account has no calls."})
    reseller = Text(
        metadata={"description": "The reseller of a customer."},
        allow_none=True,
    )
    profile = Text(
        validate=one_of(PROFILES),
        allow_none=True,
        metadata={"description": "null for the profile of the server."},
    )
    timezone = Text(metadata={"description": "A name such as Europe/Berlin."})


class AccountChangeSchema(StrictSchema):
    """The fields of an account to change."""

    api_key = Text()
    profile = Text(
        validate=one_of(PROFILES),
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
