"""The control endpoints of accounts, domains and bounces."""

from collections.abc import Callable, Mapping
from typing import Any

from sendgrid_bounces.control.documents import LISTS
from sendgrid_bounces.core.accounts import MAX_NAME
from sendgrid_bounces.core.histograms import MAX_INTERVALS
from sendgrid_bounces.schemas.accounts import ACCOUNT_CHANGE, NEW_ACCOUNT, NEW_DOMAIN
from sendgrid_bounces.schemas.queries import (
    COUNT,
    DELETE,
    HISTOGRAM,
    LIST,
    MAX_LIMIT,
    OWNER,
)
from tools.openapi.parts import (
    BOOLEAN,
    CSV,
    INSTANT,
    JSON,
    NDJSON,
    NUMBER,
    STRING,
    TEXT,
    TSV,
    Part,
    Target,
    array,
    control_view,
    record,
    ref,
)

_NULLABLE: Part = {"type": ["string", "null"]}
_LIST: Part = {"enum": [*LISTS.values()]}
_NAME: Part = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}

SCHEMAS: Mapping[str, Any] = {
    "NewAccount": NEW_ACCOUNT,
    "AccountChange": ACCOUNT_CHANGE,
    "NewDomain": NEW_DOMAIN,
    "AccountReport": record(
        {
            "name": STRING,
            "profile": _NULLABLE,
            "timezone": STRING,
            "reseller": {**_NULLABLE, "description": "The owner of a customer."},
            "bounces": NUMBER,
            "customers": array(STRING),
            "domains": array(ref("DomainReport")),
        }
    ),
    "DomainReport": record(
        {
            "name": STRING,
            "account": STRING,
            "timezone": {**STRING, "description": "That of the account."},
            "list": {**_LIST, "description": "Whose bounces it has."},
            "bounces": NUMBER,
        }
    ),
    "BounceRecord": record(
        {
            "email": STRING,
            "status": STRING,
            "code": STRING,
            "reason": STRING,
            "created": INSTANT,
            "reported": BOOLEAN,
        }
    ),
    "BounceBatch": record(
        {
            "bounces": array(ref("BounceRecord"), maxItems=MAX_LIMIT),
            "next": {**_NULLABLE, "description": "The parameter after of more."},
        }
    ),
    "BounceCount": record(
        {"count": NUMBER},
        groups={
            "type": "object",
            "additionalProperties": NUMBER,
            "description": "The number of each group, if by is given.",
        },
    ),
    "Histogram": record(
        {
            "days": {**NUMBER, "description": "The days of an interval."},
            "intervals": array(ref("Interval"), maxItems=MAX_INTERVALS),
        }
    ),
    "Interval": record(
        {
            "first": {"type": "string", "format": "date"},
            "last": {"type": "string", "format": "date"},
            "hard": NUMBER,
            "soft": NUMBER,
            "other": NUMBER,
        }
    ),
}

PARAMETERS: Mapping[str, Part] = {
    "account_name": {
        "in": "path",
        "name": "name",
        "required": True,
        "schema": _NAME,
        "example": "demo",
        "description": "The name of an account.",
    },
    "domain_name": {
        "in": "path",
        "name": "name",
        "required": True,
        "schema": _NAME,
        "example": "samples.mailgun.org",
        "description": "The name of a Mailgun domain.",
    },
}

_ACCOUNT = ("account_name",)
_DOMAIN = ("domain_name",)
_REMOVED = record({"removed": ref("Contents")})
_RECORDS: Part = {"oneOf": [ref("Record"), array(ref("Record"))]}

VIEWS: Mapping[str, Callable[[Target], Part]] = {
    "control.list_accounts": control_view(
        record({"accounts": array(ref("AccountReport"))})
    ),
    "control.add_account": control_view(
        ref("AccountReport"), 404, 409, content={JSON: ref("NewAccount")}, status=201
    ),
    "control.show_account": control_view(ref("AccountReport"), 404, path=_ACCOUNT),
    "control.change_account": control_view(
        ref("AccountReport"), 404, path=_ACCOUNT, content={JSON: ref("AccountChange")}
    ),
    "control.remove_account": control_view(_REMOVED, 404, path=_ACCOUNT),
    "control.list_domains": control_view(
        record({"domains": array(ref("DomainReport"))})
    ),
    "control.add_domain": control_view(
        ref("DomainReport"), 404, 409, content={JSON: ref("NewDomain")}, status=201
    ),
    "control.show_domain": control_view(ref("DomainReport"), 404, path=_DOMAIN),
    "control.remove_domain": control_view(_REMOVED, 404, path=_DOMAIN),
    "control.list_bounces": control_view(ref("BounceBatch"), 404, parameters=LIST),
    "control.put_bounces": control_view(
        record({"stored": NUMBER}),
        404,
        parameters=OWNER,
        content={JSON: _RECORDS, **dict.fromkeys((NDJSON, CSV, TSV, TEXT), STRING)},
        status=201,
    ),
    "control.remove_bounces": control_view(
        record({"removed": NUMBER}), 404, parameters=DELETE
    ),
    "control.count_bounces": control_view(ref("BounceCount"), 404, parameters=COUNT),
    "control.show_histogram": control_view(ref("Histogram"), parameters=HISTOGRAM),
}
