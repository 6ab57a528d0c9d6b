"""The section of Mailgun v2 and v3, with JSON schemas written by hand.

The fields of Mailgun's parameters clamp and default in ways that apispec cannot see.
"""

from collections.abc import Callable, Mapping
from typing import Any

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

EMAIL: Part = {"type": "string", "format": "email", "minLength": 1, "maxLength": 320}

#: The fields that :func:`params.read_record` reads from a form or JSON.
RECORD: Mapping[str, Part] = {
    "address": {**EMAIL, "examples": ["bob@example.com"]},
    "code": {"type": ["string", "integer"], "default": params.DEFAULT_CODE},
    "error": {"type": "string", "default": ""},
}
CREATED: Part = {
    "type": "string",
    "description": "An RFC 2822 date with a time zone; the current time if absent.",
    "examples": ["Thu, 13 Oct 2011 18:02:00 GMT"],
}


def _record(**more: Part) -> Part:
    return {
        "type": "object",
        "properties": {**RECORD, **more},
        "required": ["address"],
    }


def _item(code: Part) -> Part:
    date = {"type": "string", "examples": ["Thu, 13 Oct 2011 18:02:00 GMT"]}
    return record(
        {"address": STRING, "code": code, "error": STRING, "created_at": date}
    )


SCHEMAS: Mapping[str, Any] = {
    "RecordV2": _record(),
    "RecordV3": _record(created_at=CREATED),
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

LIMIT: Part = {**INTEGER, "default": params.DEFAULT_LIMIT}
SLICE: Mapping[str, Part] = {
    "limit": LIMIT,
    "skip": {**INTEGER, "default": 0, "description": "Bounces to skip."},
}
PAGE: Mapping[str, Part] = {
    "limit": {**LIMIT, "description": f"Larger values mean {params.MAX_LIMIT}."},
    "page": {
        "enum": ["first", "last", "next", "previous"],
        "description": "next and previous require address; other values mean first.",
    },
    "address": {"type": "string", "description": "The address next to the page."},
    "term": {"type": "string", "description": "Prefix of the addresses."},
}

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
    "mailgun_503": response("The database does not answer.", {JSON: ERROR}),
}


def _view(
    schema: Part,
    *,
    description: str = "Success.",
    status: int = 200,
    path: tuple[str, ...] = (DOMAIN,),
    parameters: Mapping[str, Part] | None = None,
    content: Mapping[str, Part] | None = None,
) -> Callable[[Target], Part]:
    """Return a function that describes a view.

    :param schema: the schema of the JSON response.
    :param path: the names of the path parameters.
    :param parameters: the schemas of the query parameters.
    :param content: the schemas of the request body, by media type.
    """
    errors = (400, 401, 404, 413, 503) if content else (400, 401, 404, 503)
    part = {
        "security": [{"mailgun": []}],
        "parameters": [*path, *query(parameters or {})],
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
        "mailgun_v2.list": _view(ref("Slice"), parameters=SLICE),
        "mailgun_v2.add": _view(ref("DoneTo"), content=_forms(ref("RecordV2"))),
        "mailgun_v2.find": _view(record({"bounce": ref("ItemV2")}), path=_ONE),
        "mailgun_v2.remove": _view(ref("DoneTo"), path=_ONE),
        "mailgun_v3.list": _view(ref("Page"), parameters=PAGE),
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
