"""The section of the control endpoints."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from sendgrid_bounces.control import api, views
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.schemas.faults import FAULT_RULE, Operations, dialect_names
from sendgrid_bounces.schemas.requests import COUNT, LIST, MAX_LIMIT, WAIT
from sendgrid_bounces.schemas.seeds import SEED
from sendgrid_bounces.storage.faults import MAX_FAULT_RULES
from sendgrid_bounces.storage.snapshots import MAX_SNAPSHOTS
from tools.openapi.parts import (
    BOOLEAN,
    INTEGER,
    JSON,
    STRING,
    YAML,
    Part,
    Section,
    Target,
    array,
    bodies,
    record,
    ref,
    response,
)

NUMBER: Part = {"type": "integer", "minimum": 0}
INSTANT: Part = {"type": "string", "format": "date-time"}

#: The JSON schemas of the types in :class:`LoggedRequest`.
TYPES: Mapping[Any, Part] = {
    int: INTEGER,
    str: STRING,
    int | None: {"type": ["integer", "null"]},
    str | None: {"type": ["string", "null"]},
    Mapping[str, str | list[str]]: {
        "type": "object",
        "additionalProperties": {"anyOf": [STRING, array(STRING)]},
    },
}

#: The schemas of the bodies that change the clock, by name.
ACTIONS = {
    f"Clock{action.title()}": schema
    for action, (schema, _) in views.CLOCK_ACTIONS.items()
}

_COUNTS = {"accounts": NUMBER, "bounces": NUMBER, "domains": NUMBER}

PARAMETERS: Mapping[str, Part] = {
    "id": {"in": "path", "required": True, "schema": NUMBER, "example": 1},
    "name": {
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "example": "before",
        "description": "Not only dots.",
    },
}

RESPONSES: Mapping[str, Part] = {
    f"control_{status}": response(description, {JSON: ref("ControlError")})
    for status, description in {
        400: "Invalid parameter or body.",
        401: "Missing or wrong token.",
        403: "Request from a page of another site, or by a public host name.",
        404: "Not found.",
        409: "Conflict with existing data.",
        413: f"The body exceeds {api.MAX_BODY} bytes.",
        503: "The database does not answer.",
    }.items()
}


def _logged_request(operations: Operations) -> Part:
    """Return the schema of an entry of the request log."""
    types, names = get_type_hints(LoggedRequest), dialect_names(operations)
    special = {
        "time": INSTANT,
        "dialect": {"enum": sorted(operations, key=names.index)},
    }
    return record(
        {
            field.name: {
                **special.get(field.name, TYPES[types[field.name]]),
                **field.metadata,
            }
            for field in fields(LoggedRequest)
        }
    )


def _schemas(operations: Operations) -> Mapping[str, Any]:
    return {
        "Rule": FAULT_RULE,
        "Seed": SEED,
        **ACTIONS,
        "Clock": record({"now": INSTANT, "frozen": BOOLEAN}),
        "Contents": record(_COUNTS),
        "Snapshot": record({"name": STRING, "created": INSTANT, **_COUNTS}),
        "Fault": record(
            {"id": INTEGER, "rule": ref("Rule"), "matched": NUMBER, "fired": NUMBER}
        ),
        "Entry": _logged_request(operations),
        "Health": record({"status": STRING, "version": STRING, "database": STRING}),
        "ControlError": record({"error": STRING}, errors=array(STRING, minItems=1)),
    }


def _view(
    schema: Part,
    *more: int,
    path: tuple[str, ...] = (),
    parameters: Any = None,
    content: Mapping[str, Part] | None = None,
    status: int = 200,
) -> Callable[[Target], Part]:
    """Return a function that describes a view.

    :param schema: the schema of the JSON response.
    :param more: error statuses that only some views have.
    :param path: the names of the path parameters.
    :param parameters: the marshmallow schema of the query.
    :param content: the schemas of the request body, by media type.
    """

    def describe(target: Target) -> Part:
        has_body = target.method != "GET"
        errors = {400, 401, 403, 503, *more, *([413] if has_body else [])}
        part: Part = {
            "security": [{}, {"token": []}],
            "responses": {
                str(status): response("Success.", {JSON: schema}),
                **{str(code): f"control_{code}" for code in sorted(errors)},
            },
        }
        if path or parameters:
            query = [{"in": "query", "schema": parameters}] if parameters else []
            part["parameters"] = [*path, *query]
        if content:
            part["requestBody"] = {"required": True, "content": bodies(content)}
        return part

    return describe


def _health(_: Target) -> Part:
    return {
        "security": [],
        "responses": {
            "200": response("The database answers.", {JSON: ref("Health")}),
            "503": response("The database does not answer.", {JSON: ref("Health")}),
        },
    }


_RULES: Part = {"oneOf": [ref("Rule"), array(ref("Rule"), maxItems=MAX_FAULT_RULES)]}
_ACTION: Part = {
    "oneOf": [ref(name) for name in ACTIONS],
    "discriminator": {
        "propertyName": "action",
        "mapping": {
            action: ref(name)["$ref"]
            for action, name in zip(views.CLOCK_ACTIONS, ACTIONS, strict=True)
        },
    },
}
_SEED = ref("Seed")
_REMOVED = record({"removed": NUMBER})

VIEWS: Mapping[str, Callable[[Target], Part]] = {
    "control_health.health": _health,
    "control.show_description": _view({"type": "object"}),
    "control.reset": _view(ref("Contents"), 404, 409, parameters=views.RESET),
    "control.seed": _view(ref("Contents"), 409, content={JSON: _SEED, YAML: _SEED}),
    "control.show_clock": _view(ref("Clock")),
    "control.change_clock": _view(ref("Clock"), content={JSON: _ACTION}),
    "control.list_snapshots": _view(
        record({"snapshots": array(ref("Snapshot"), maxItems=MAX_SNAPSHOTS)})
    ),
    "control.take_snapshot": _view(ref("Snapshot"), 409, path=("name",)),
    "control.restore_snapshot": _view(ref("Contents"), 404, path=("name",)),
    "control.remove_snapshot": _view(record({"removed": STRING}), 404, path=("name",)),
    "control.list_faults": _view(record({"faults": array(ref("Fault"))})),
    "control.add_faults": _view(
        record({"ids": array(INTEGER)}), content={JSON: _RULES}, status=201
    ),
    "control.clear_faults": _view(_REMOVED),
    "control.show_fault": _view(ref("Fault"), 404, path=("id",)),
    "control.remove_fault": _view(_REMOVED, 404, path=("id",)),
    "control.list_requests": _view(
        record({"requests": array(ref("Entry"), maxItems=MAX_LIMIT)}), parameters=LIST
    ),
    "control.clear_requests": _view(_REMOVED),
    "control.count_requests": _view(record({"count": NUMBER}), parameters=COUNT),
    "control.wait_for_requests": _view(record({"count": NUMBER}), parameters=WAIT),
}


def section(operations: Operations) -> Section:
    """Return the section of the control endpoints.

    :param operations: the operations of each dialect, by its name.
    """
    return Section(
        tag=(
            "Emulator",
            "The control endpoints. Without the setting CONTROL, only health exists.",
        ),
        security={
            "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "Required if the setting CONTROL_TOKEN is set.",
            }
        },
        schemas=_schemas(operations),
        parameters=PARAMETERS,
        responses=RESPONSES,
        views=VIEWS,
    )
