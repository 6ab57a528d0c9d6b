"""The section of Mailgun v2 and v3."""

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import Schema, fields, missing

from sendgrid_bounces.dialects.mailgun import params, web
from tools.openapi.parts import (
    FORM,
    INTEGER,
    JSON,
    MULTIPART,
    STRING,
    TEXT,
    Part,
    Section,
    Target,
    array,
    bodies,
    query,
    record,
    ref,
    response,
)


def _item(code: Part) -> Part:
    date = {"type": "string", "examples": ["Thu, 13 Oct 2011 18:02:00 GMT"]}
    return record(
        {"address": STRING, "code": code, "error": STRING, "created_at": date}
    )


SCHEMAS: Mapping[str, Any] = {
    "RecordV2": params.RECORD_V2,
    "RecordV3": params.RECORD_V3,
    "ItemV2": _item(
        {
            "type": ["string", "integer"],
            "description": "An integer if a mail server reported the bounce.",
        }
    ),
    "ItemV3": _item(STRING),
    "Slice": record({"total_count": INTEGER, "items": array(ref("ItemV2"))}),
    "Page": record(
        {
            "items": array(ref("ItemV3"), maxItems=params.MAX_LIMIT),
            "paging": record(
                {
                    page: {"type": "string", "format": "uri"}
                    for page in ("first", "last", "next", "previous")
                }
            ),
        }
    ),
    "Upload": {
        "type": "object",
        "properties": {
            "file": {
                "type": "string",
                "format": "binary",
                "description": "CSV in UTF-8: address,code,error,created_at; at most "
                f"{web.MAX_FILE} bytes.",
                "examples": ["address,code\nbob@example.com,550\n"],
            }
        },
        "required": ["file"],
    },
    "Done": record({"message": STRING}),
    "DoneTo": record({"message": STRING, "address": STRING}),
    "MailgunError": record({"message": STRING}),
}

PARAMETERS: Mapping[str, Part] = {
    "domain": {
        "in": "path",
        "required": True,
        "description": "A domain of the account that the API key belongs to.",
        "schema": {"type": "string", "minLength": 1},
        "example": "samples.mailgun.org",
    },
    "address": {
        "in": "path",
        "required": True,
        "description": "An address; + means a blank.",
        "schema": {"type": "string", "minLength": 1},
        "example": "void@guillaumeleveque.info",
    },
}
DOMAIN, ADDRESS = "domain", "address"

NO_PARAMETERS = Schema()

ERROR = ref("MailgunError")
RESPONSES: Mapping[str, Part] = {
    "mailgun_400": response("Invalid request or parameter.", {JSON: ERROR}),
    "mailgun_401": {
        **response(
            "The API key is unknown or belongs to another account.", {TEXT: STRING}
        ),
        "headers": {"WWW-Authenticate": {"schema": STRING}},
    },
    "mailgun_404": response(
        "No such domain or address; text if there is no such route.",
        {JSON: ERROR, TEXT: STRING},
    ),
    "mailgun_413": response("The body is too large.", {JSON: ERROR}),
    "mailgun_429": response("Too many wrong API keys.", {JSON: ERROR}),
    "mailgun_503": response("The database does not answer.", {JSON: ERROR}),
}


def _property(field: fields.Field[Any]) -> Part:
    """Return the schema of a query parameter."""
    part: Part = {"type": "integer" if isinstance(field, params.Integer) else "string"}
    if field.name == "page":
        part = {"enum": ["first", "last", "next", "previous"]}
    if field.load_default is not missing:
        part["default"] = field.load_default
    return {**part, **field.metadata}


def _view(
    schema: Part,
    *,
    description: str = "Success.",
    status: int = 200,
    path: tuple[str, ...] = (DOMAIN,),
    parameters: Schema = NO_PARAMETERS,
    content: Mapping[str, Part] | None = None,
) -> Callable[[Target], Part]:
    """Return a function that describes a view.

    :param schema: the schema of the JSON response.
    :param path: the names of the path parameters.
    :param parameters: the schema of the query parameters.
    :param content: the schemas of the request body, by media type.
    """
    errors = (400, 401, 404, *([413] if content else []), 429, 503)
    properties = {name: _property(f) for name, f in parameters.fields.items()}
    part = {
        "security": [{"mailgun": []}],
        "parameters": [*path, *query(properties)],
        "responses": {
            str(status): response(description, {JSON: schema}),
            **{str(code): f"mailgun_{code}" for code in errors},
        },
    }
    if content:
        part["requestBody"] = {"required": True, "content": bodies(content)}
    return lambda _: part


def _forms(schema: Part) -> Mapping[str, Part]:
    return {FORM: schema, MULTIPART: schema}


_BATCH: Part = {
    "oneOf": [
        array(ref("RecordV3"), minItems=1, maxItems=params.MAX_BATCH),
        ref("RecordV3"),
    ],
}
_ONE = (DOMAIN, ADDRESS)

SECTION = Section(
    tag=("Mailgun", f"v2 and v3. A body has at most {web.MAX_BODY} bytes."),
    security={
        "mailgun": {
            "type": "http",
            "scheme": "basic",
            "description": "User name api; the password is the API key of the account.",
        }
    },
    schemas=SCHEMAS,
    parameters=PARAMETERS,
    responses=RESPONSES,
    views={
        "mailgun_v2.list": _view(ref("Slice"), parameters=params.SLICE),
        "mailgun_v2.add": _view(ref("DoneTo"), content=_forms(ref("RecordV2"))),
        "mailgun_v2.find": _view(record({"bounce": ref("ItemV2")}), path=_ONE),
        "mailgun_v2.remove": _view(ref("DoneTo"), path=_ONE),
        "mailgun_v3.list": _view(ref("Page"), parameters=params.PAGE),
        "mailgun_v3.add": _view(
            {"oneOf": [ref("Done"), ref("DoneTo")]},
            description="The response to a form has the address.",
            content={JSON: _BATCH, **_forms(ref("RecordV3"))},
        ),
        "mailgun_v3.clear": _view(ref("Done")),
        "mailgun_v3.find": _view(ref("ItemV3"), path=_ONE),
        "mailgun_v3.remove": _view(ref("DoneTo"), path=_ONE),
        "mailgun_v3.import": _view(
            ref("Done"),
            description="The bounces are stored.",
            status=202,
            content={MULTIPART: ref("Upload")},
        ),
    },
)
