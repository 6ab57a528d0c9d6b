"""The section of the control endpoints."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from sendgrid_bounces.control import api
from sendgrid_bounces.core.names import SLUG_CHARACTERS
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.schemas.clock import CLOCK_ACTIONS
from sendgrid_bounces.schemas.faults import FAULT_RULE, Operations, dialect_names
from sendgrid_bounces.schemas.queries import RESET
from sendgrid_bounces.schemas.requests import COUNT, LIST, MAX_LIMIT, WAIT
from sendgrid_bounces.schemas.seeds import SEED
from sendgrid_bounces.storage.faults import MAX_FAULT_RULES
from sendgrid_bounces.storage.snapshots import MAX_SNAPSHOTS
from tools.openapi import receiving, state
from tools.openapi.parts import (
    BOOLEAN,
    INSTANT,
    INTEGER,
    JSON,
    NUMBER,
    STRING,
    YAML,
    Part,
    Section,
    Target,
    array,
    control_view,
    record,
    ref,
    response,
)

#: The JSON schemas of the types in :class:`LoggedRequest`.
TYPES: Mapping[Any, Part] = {
    int: INTEGER,
    float: {"type": "number"},
    str: STRING,
    int | None: {"type": ["integer", "null"]},
    str | None: {"type": ["string", "null"]},
    Mapping[str, str | list[str]]: {
        "type": "object",
        "additionalProperties": {"anyOf": [STRING, array(STRING)]},
    },
}

#: The field of a request that is shown by itself.
WHY: Part = {
    **TYPES[str | None],
    "description": "Why the status is 400, 401, 403, 404 or 429; else null.",
}

#: The schemas of the bodies that change the clock, by name.
ACTIONS = {f"Clock{action.title()}": schema for action, schema in CLOCK_ACTIONS.items()}

_COUNTS = {"accounts": NUMBER, "bounces": NUMBER, "domains": NUMBER}

PARAMETERS: Mapping[str, Part] = {
    "id": {"in": "path", "required": True, "schema": NUMBER, "example": 1},
    "name": {
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": f"^{SLUG_CHARACTERS}$"},
        "example": "before",
        "description": "Not only dots.",
    },
    **state.PARAMETERS,
    **receiving.CONTROL_PARAMETERS,
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
        429: "Too many wrong tokens.",
        503: "The database does not answer.",
    }.items()
}


def _logged_request(operations: Operations, **more: Part) -> Part:
    """Return the schema of an entry of the request log, with *more* fields."""
    types, names = get_type_hints(LoggedRequest), dialect_names(operations)
    special = {
        "received": INSTANT,
        "emulated_time": INSTANT,
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
        | {"time": {**INSTANT, "description": "The former name of emulated_time."}}
        | more
    )


def _schemas(operations: Operations) -> Mapping[str, Any]:
    return {
        "Rule": FAULT_RULE,
        "Seed": SEED,
        **ACTIONS,
        "Index": record(
            {
                "version": STRING,
                "database": STRING,
                "seed_files": NUMBER,
                **_COUNTS,
                "description": STRING,
                "endpoints": array(
                    record({"method": STRING, "path": STRING, "summary": STRING})
                ),
            }
        ),
        "Clock": record({"now": INSTANT, "frozen": BOOLEAN}),
        "Contents": record(_COUNTS),
        "Snapshot": record({"name": STRING, "created": INSTANT, **_COUNTS}),
        "Fault": record(
            {"id": INTEGER, "rule": ref("Rule"), "matched": NUMBER, "fired": NUMBER}
        ),
        "Entry": _logged_request(operations),
        "ExplainedEntry": _logged_request(operations, why=WHY),
        "Migration": record({"calls": array(ref("MigratedCall")), "unknown": NUMBER}),
        "MigratedCall": record(
            {
                "dialect": STRING,
                "operation": STRING,
                "format": STRING,
                "parameters": array(STRING),
                "type": {"type": ["string", "null"]},
                "count": NUMBER,
                "requests": array(STRING, description="curl commands."),
                "note": STRING,
                "traps": array(record({"name": STRING, "text": STRING})),
            }
        ),
        "Health": record(
            {
                "status": STRING,
                "version": STRING,
                "database": STRING,
                "log": {"enum": ["ok", "degraded", "off"]},
                "unlogged": NUMBER,
            },
            sources=receiving.SUMMARY,
        ),
        "ControlError": record(
            {"error": STRING},
            errors=array(STRING, minItems=1),
            kind={**STRING, "description": "The kind of the unknown object."},
            name={**STRING, "description": "Its name."},
        ),
        **state.SCHEMAS,
        **receiving.CONTROL_SCHEMAS,
    }


def _health(_: Target) -> Part:
    return {
        "security": [],
        "responses": {
            "200": response("The database can be used.", {JSON: ref("Health")}),
            "503": response("The database cannot be used.", {JSON: ref("Health")}),
        },
    }


_RULES: Part = {"oneOf": [ref("Rule"), array(ref("Rule"), maxItems=MAX_FAULT_RULES)]}
_ACTION: Part = {
    "oneOf": [ref(name) for name in ACTIONS],
    "discriminator": {
        "propertyName": "action",
        "mapping": {
            action: ref(name)["$ref"]
            for action, name in zip(CLOCK_ACTIONS, ACTIONS, strict=True)
        },
    },
}
_SEED = ref("Seed")
_REMOVED = record({"removed": NUMBER})

VIEWS: Mapping[str, Callable[[Target], Part]] = {
    "control_health.health": _health,
    "control.show_index": control_view(ref("Index")),
    "control.show_description": control_view({"type": "object"}),
    "control.reset": control_view(ref("Contents"), 404, 409, parameters=RESET),
    "control.seed": control_view(
        ref("Contents"), 409, content={JSON: _SEED, YAML: _SEED}
    ),
    "control.show_clock": control_view(ref("Clock")),
    "control.change_clock": control_view(ref("Clock"), content={JSON: _ACTION}),
    "control.list_snapshots": control_view(
        record({"snapshots": array(ref("Snapshot"), maxItems=MAX_SNAPSHOTS)})
    ),
    "control.take_snapshot": control_view(ref("Snapshot"), 409, path=("name",)),
    "control.restore_snapshot": control_view(ref("Contents"), 404, path=("name",)),
    "control.remove_snapshot": control_view(
        record({"removed": STRING}), 404, path=("name",)
    ),
    "control.list_faults": control_view(record({"faults": array(ref("Fault"))})),
    "control.add_faults": control_view(
        record({"ids": array(INTEGER)}), content={JSON: _RULES}, status=201
    ),
    "control.clear_faults": control_view(_REMOVED),
    "control.show_fault": control_view(ref("Fault"), 404, path=("id",)),
    "control.remove_fault": control_view(_REMOVED, 404, path=("id",)),
    "control.list_requests": control_view(
        record({"requests": array(ref("Entry"), maxItems=MAX_LIMIT)}), parameters=LIST
    ),
    "control.show_request": control_view(ref("ExplainedEntry"), 404, path=("id",)),
    "control.clear_requests": control_view(_REMOVED),
    "control.count_requests": control_view(record({"count": NUMBER}), parameters=COUNT),
    "control.wait_for_requests": control_view(
        record({"count": NUMBER}), parameters=WAIT
    ),
    "control.show_migration": control_view(ref("Migration")),
    **state.VIEWS,
    **receiving.CONTROL_VIEWS,
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
