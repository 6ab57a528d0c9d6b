"""The section of SendGrid v3's suppressions."""

from collections.abc import Callable, Mapping

from sendgrid_bounces.dialects.sendgrid import v3_operations, v3_params
from tools.openapi.parts import (
    INTEGER,
    JSON,
    STRING,
    Part,
    Section,
    Target,
    array,
    query,
    record,
    ref,
    response,
)

CSV, HTML = "text/csv", "text/html"

TIME: Part = {
    "type": "integer",
    "minimum": 0,
    "description": "Unix seconds, inclusive.",
}

LIST_PARAMETERS: Mapping[str, Part] = {
    "start_time": TIME,
    "end_time": TIME,
    "limit": {"type": "integer", "minimum": 1, "maximum": v3_params.MAX_LIMIT},
    "offset": {"type": "integer", "minimum": 0},
    "email": {**STRING, "description": "A prefix of the address; % matches any text."},
}
DAY_PARAMETERS: Mapping[str, Part] = {
    name: {"type": "string", "format": "date", "description": "A UTC day, inclusive."}
    for name in ("start_date", "end_date")
}

EMAIL: Part = {
    "in": "path",
    "name": "email",
    "required": True,
    "schema": {
        "type": "string",
        "minLength": 1,
        "examples": ["claims@msp.org", "rawest@gmail.co"],
    },
}
CLASSIFICATION: Part = {
    "in": "path",
    "name": "classification",
    "required": True,
    "schema": {"enum": [*v3_operations.NAMES]},
}
ON_BEHALF_OF: Part = {
    "in": "header",
    "name": "on-behalf-of",
    "description": "A customer of the reseller whose key it is.",
    "schema": STRING,
}

DELETION: Part = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"emails": array(STRING, minItems=1)},
            "required": ["emails"],
            "not": {"required": ["delete_all"]},
        },
        {
            "type": "object",
            "properties": {"delete_all": {"const": True}},
            "required": ["delete_all"],
            "not": {"required": ["emails"]},
        },
    ]
}


def _counts(label: str) -> Part:
    group = record({label: STRING, "count": INTEGER})
    day = record({"date": STRING, "stats": array(group)})
    return record({"result": array(day)})


ERRORS = {
    "sendgrid_v3_400": "A parameter or the body is invalid; nothing is changed.",
    "sendgrid_v3_401": "The API key is missing or unknown.",
    "sendgrid_v3_403": "The caller has no such customer.",
    "sendgrid_v3_404": "The resource does not exist.",
    "sendgrid_v3_413": "The body is too large.",
    "sendgrid_v3_429": "Too many wrong API keys.",
    "sendgrid_v3_503": "The database does not answer.",
}


def _view(
    responses: Mapping[str, Part | str],
    *errors: int,
    path: tuple[Part, ...] = (),
    parameters: Mapping[str, Part] | None = None,
    body: Part | None = None,
) -> Callable[[Target], Part]:
    """Return a function that describes a view.

    :param errors: the statuses of errors, besides those that all views have.
    """

    def describe(target: Target) -> Part:
        statuses = sorted({400, 401, 403, 429, 503, *errors})
        part: Part = {
            "security": [{"sendgrid_v3": []}],
            "parameters": [*path, ON_BEHALF_OF, *query(parameters or {})],
            "responses": {
                **responses,
                **{str(code): f"sendgrid_v3_{code}" for code in statuses},
            },
        }
        if target.choices.get("name", "bounces") == "bounces":
            part["responses"]["406"] = "sendgrid_v3_406"
        if body:
            part["requestBody"] = {
                "required": True,
                "content": {JSON: {"schema": body}},
            }
        return part

    return describe


SUPPRESSIONS: Mapping[str, Part | str] = {
    "200": response("Success.", {JSON: array(ref("Suppression"))})
}
NO_CONTENT: Mapping[str, Part | str] = {
    "204": {"description": "Success, without a body."}
}

SECTION = Section(
    tag=(
        "SendGrid v3",
        "Suppressions. Bounces of class 4 are blocks, all others bounces.",
    ),
    security={"sendgrid_v3": {"type": "http", "scheme": "bearer"}},
    schemas={
        "Suppression": record(
            {"created": INTEGER, "email": STRING, "reason": STRING, "status": STRING}
        ),
        "FieldErrors": record(
            {
                "errors": array(
                    record({"field": {"type": ["string", "null"]}, "message": STRING}),
                    minItems=1,
                )
            }
        ),
    },
    parameters={},
    responses={
        **{
            name: response(about, {JSON: ref("FieldErrors")})
            for name, about in ERRORS.items()
        },
        "sendgrid_v3_406": response("There is no Accept header.", {HTML: STRING}),
    },
    views={
        "sendgrid_v3.list_": _view(SUPPRESSIONS, parameters=LIST_PARAMETERS),
        "sendgrid_v3.find": _view(SUPPRESSIONS, path=(EMAIL,)),
        "sendgrid_v3.delete": _view(NO_CONTENT, 404, path=(EMAIL,)),
        "sendgrid_v3.delete_many": _view(NO_CONTENT, 413, body=DELETION),
        "sendgrid_v3.classifications": _view(
            {
                "200": response(
                    "Success.", {JSON: _counts("classification"), CSV: STRING}
                )
            },
            parameters=DAY_PARAMETERS,
        ),
        "sendgrid_v3.classification": _view(
            {"200": response("Success.", {JSON: _counts("domain"), CSV: STRING})},
            404,
            path=(CLASSIFICATION,),
            parameters=DAY_PARAMETERS,
        ),
    },
)
