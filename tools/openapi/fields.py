"""The JSON schemas of marshmallow fields that apispec does not know."""

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import Schema, fields

from sendgrid_bounces.control import clock, contents, requests
from sendgrid_bounces.core.accounts import MAX_NAME
from sendgrid_bounces.dialects.sendgrid import params
from sendgrid_bounces.schemas import base, bounces, faults, seeds
from tools.openapi.parts import STRING, Part, array, ref

TIME = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?$"

#: What a class of fields takes.
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
    base.Text: lambda _: STRING,
    faults.Drop: lambda _: {"enum": [True, False, "before", "after"]},
    faults.Kept: lambda _: {
        "type": ["boolean", "integer"],
        "minimum": 0,
        "maximum": faults.MAX_INTEGER,
    },
    requests.Instant: lambda _: {"type": "string", "pattern": TIME},
}

#: What fields take that another schema, or a function, looks into.
NAMED: Mapping[tuple[type[Schema], str], Part] = {
    (seeds.AccountSchema, "username"): {"minLength": 1, "maxLength": MAX_NAME},
    (seeds.AccountSchema, "api_key"): {"pattern": "^[^\\x00]+$"},
    (seeds.AccountSchema, "bounces"): {"items": ref("Record")},
    (seeds.DomainSchema, "name"): {"pattern": f"^[^/]{{1,{MAX_NAME}}}$"},
    (seeds.DomainSchema, "bounces"): {"items": ref("Record")},
    (seeds.SeedSchema, "faults"): {"items": ref("Rule")},
    (bounces.RecordSchema, "code"): {"type": ["string", "integer"]},
    (faults.FaultRuleSchema, "operation"): {"enum": faults.operations(None)},
    (clock.FreezeSchema, "instant"): {"pattern": TIME},
    **{
        (type(schema), "action"): {"const": action}
        for action, (schema, _) in clock.ACTIONS.items()
    },
}

#: What fields mean, in the schema that has them or in one above it.
MEANINGS: Mapping[type[Schema], Mapping[str, str]] = {
    params.FilterSchema: {
        "days": "The last so many days, today included.",
        "start_date": "The first day; wins over days.",
        "end_date": "The last day, included.",
        "type": "Hard is a status of class 5, soft one of class 4; in any letter case.",
        "email": "Addresses, letter case ignored; also as email[].",
    },
    params.GetSchema: {
        "date": "1 adds created, the time of the bounce.",
        "limit": "No more than so many.",
        "offset": "Without the first so many.",
    },
    params.DeleteSchema: {
        "delete_all": "1 deletes everything, unless a filter says less.",
    },
    clock.FreezeSchema: {
        "instant": "In UTC, unless it says its offset; what it shows if absent."
    },
    clock.AdvanceSchema: {
        "duration": "An ISO 8601 duration of weeks to seconds, as PT1H."
    },
    contents.ResetSchema: {
        "to": "Empty plants nothing.",
        "account": "Only this account, or the domain of this name.",
    },
    requests.FilterSchema: {
        "account": "The name of the account.",
        "domain": "The Mailgun domain.",
        "operation": "What was asked for.",
        "dialect": "A dialect, or a vendor.",
        "status": "What was answered.",
        "since": "The first instant; in UTC, unless it says its offset.",
    },
    requests.ListSchema: {"limit": "The last so many."},
    faults.FaultRuleSchema: {
        "email": "A glob of an address that the request names.",
        "path": "A glob of the whole path.",
        "skip": "Not at the first so many.",
        "times": "No more than so many times.",
        "probability": "At about so many of them.",
        "seed": "Decides which ones.",
        "limit": "Those beyond so many in a window are hit.",
        "status": "In the vendor's envelope; the operation is not done.",
        "retry_after": "Seconds.",
        "latency_ms": "A pause before anything else happens.",
        "drop_connection": "True is before the operation is done.",
        "truncate": "How many bytes of the body are sent; true for half.",
        "malformed": "Whether the body is cut so that it does not parse.",
    },
    seeds.AccountSchema: {
        "customers": "Whoever has this is a reseller.",
        "timezone": "Where its days begin; UTC if absent.",
        "profile": "The server's if absent.",
    },
    seeds.DomainSchema: {"list": "Account: it shares its account's list."},
    bounces.RecordSchema: {
        "code": "A number says that a mail server reported it.",
        "created": "A time in the account's zone, unless it says its offset.",
    },
}


def described(_: Any, field: fields.Field[Any], **__: Any) -> Part:
    """Return what is to be said of *field* besides what apispec knows."""
    part: Part = {}
    for kind in type(field).__mro__:
        if kind in TYPES:
            part = dict(TYPES[kind](field))
            break
    parent = field.parent
    if not isinstance(parent, Schema):
        return part
    name = field.name or ""
    part |= NAMED.get((type(parent), name), {})
    about = [
        MEANINGS[kind][name]
        for kind in type(parent).__mro__
        if name in MEANINGS.get(kind, {})
    ][:1]
    if isinstance(parent, faults.FaultRuleSchema) and name in faults.EXCLUDED:
        about.append(f"Cannot stand beside {', '.join(faults.EXCLUDED[name])}.")
    return {**part, "description": " ".join(about)} if about else part
