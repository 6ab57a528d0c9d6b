"""JSON schemas of the marshmallow fields that apispec does not know."""

from collections.abc import Callable, Mapping
from typing import Any

from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields

from sendgrid_bounces.core.accounts import MAX_NAME
from sendgrid_bounces.core.requests import STATUS
from sendgrid_bounces.core.times import TIME_FORMS
from sendgrid_bounces.dialects.mailgun import params as mailgun
from sendgrid_bounces.dialects.sendgrid import params
from sendgrid_bounces.schemas import accounts, base, bounces, faults, requests, seeds
from sendgrid_bounces.schemas.clock import CLOCK_ACTIONS, FreezeSchema, SetSchema
from sendgrid_bounces.schemas.faults import (
    Operations,
    dialect_names,
    operation_names,
)
from tools.openapi.parts import STRING, Part, array, ref

#: The accepted forms of times.
TIME = f"^({'|'.join(form.pattern.pattern for form in TIME_FORMS)})$"

#: The JSON schemas of the fields of Mailgun's records, by their parser.
MAILGUN: Mapping[Callable[[Any], Any], Part] = {
    mailgun.parse_address: {
        "type": "string",
        "format": "email",
        "minLength": 1,
        "maxLength": 320,
        "examples": ["bob@example.com"],
    },
    mailgun.parse_code: {
        "type": ["string", "integer"],
        "default": mailgun.DEFAULT_CODE,
    },
    mailgun.parse_error: {"type": "string", "default": ""},
    mailgun.parse_created_at: {
        "type": "string",
        "description": "",  # the text is beside the field
        "examples": ["Thu, 13 Oct 2011 18:02:00 GMT"],
    },
}

#: The JSON schema of each class of fields.
TYPES: Mapping[type[fields.Field[Any]], Callable[[Any], Part]] = {
    params.Flag: lambda _: {"type": "string", "enum": ["0", "1"]},
    params.Integer: lambda field: {
        "type": "integer",
        "minimum": field.least,
        "maximum": params.MAX_INTEGER,
    },
    params.Day: lambda _: {"type": "string", "format": "date"},
    params.Type: lambda field: {"type": "string", "enum": [*field.types]},
    params.Emails: lambda _: array(STRING, maxItems=params.MAX_EMAILS),
    mailgun.Parsed: lambda field: MAILGUN[field.parse],
    base.Text: lambda _: STRING,
    accounts.Profile: lambda _: {"type": ["string", "object"]},
    bounces.Created: lambda _: {"type": ["string", "number"]},
    bounces.Code: lambda _: {"type": ["string", "integer"]},
    faults.DropConnection: lambda _: {"enum": [True, False, "before", "after"]},
    faults.Truncate: lambda _: {
        "type": ["boolean", "integer"],
        "minimum": 0,
        "maximum": faults.MAX_COUNT,
    },
    requests.Instant: lambda _: {"type": "string", "pattern": TIME},
    requests.Status: lambda _: {"type": "string", "pattern": f"^{STATUS.pattern}$"},
}

#: JSON schemas of fields that are validated outside of their class.
VALIDATED: Mapping[tuple[type[Schema], str], Part] = {
    (seeds.AccountSchema, "username"): {"minLength": 1, "maxLength": MAX_NAME},
    (seeds.AccountSchema, "api_key"): {"pattern": "^[^\\x00]+$"},
    (seeds.AccountSchema, "bounces"): {"items": ref("Record")},
    (seeds.DomainSchema, "name"): {"pattern": f"^[^/]{{1,{MAX_NAME}}}$"},
    (seeds.DomainSchema, "bounces"): {"items": ref("Record")},
    (seeds.SeedSchema, "faults"): {"items": ref("Rule")},
    (seeds.SeedSchema, "sources"): {"items": ref("NewSource")},
    (FreezeSchema, "instant"): {"pattern": TIME},
    (SetSchema, "instant"): {"pattern": TIME},
    **{
        (type(schema), "action"): {"const": action}
        for action, schema in CLOCK_ACTIONS.items()
    },
}


def register(converter: OpenAPIConverter, operations: Operations) -> None:
    """Make *converter* describe the package's fields.

    :param operations: the operations of each dialect, by its name.
    """
    names = {
        "dialect": dialect_names(operations),
        "operation": operation_names(operations),
    }

    def describe(_: Any, field: fields.Field[Any], **__: Any) -> Part:
        part = _type(field)
        schema, name = field.parent, field.name or ""
        if isinstance(schema, faults.FaultRuleSchema | requests.CountSchema):
            part = {**({"enum": [*names[name]]} if name in names else {}), **part}
        if isinstance(schema, Schema):
            part |= VALIDATED.get((type(schema), name), {})
        if "example" in field.metadata:
            part["examples"] = [field.metadata["example"]]
        description = _description(field)
        return {**part, "description": description} if description else part

    # Descriptions come last, and from schemas only
    converter.attribute_functions.remove(converter.metadata2properties)
    converter.add_attribute_function(describe)  # type: ignore[no-untyped-call]


def _type(field: fields.Field[Any]) -> Part:
    for kind in type(field).__mro__:
        if kind in TYPES:
            return dict(TYPES[kind](field))
    return {}


def _description(field: fields.Field[Any]) -> str:
    sentences = [field.metadata.get("description", "")]
    if isinstance(field.parent, faults.FaultRuleSchema):
        others = faults.EXCLUDED.get(field.name or "", ())
        sentences += [f"Cannot be combined with {', '.join(others)}."] if others else []
    return " ".join(filter(None, sentences))
