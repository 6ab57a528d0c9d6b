"""The emulator's own endpoints."""

from collections.abc import Callable, Mapping
from typing import Any

from sendgrid_bounces.control import api, clock, contents, requests, service
from sendgrid_bounces.schemas import faults
from sendgrid_bounces.schemas.seeds import SEED
from sendgrid_bounces.storage.faults import MAX_FAULT_RULES
from sendgrid_bounces.storage.snapshots import MAX_SNAPSHOTS
from tools.openapi.parts import (
    BOOLEAN,
    INTEGER,
    JSON,
    STRING,
    YAML,
    ApiVersion,
    Part,
    Target,
    answer,
    array,
    bodies,
    record,
    ref,
)

NUMBER: Part = {"type": "integer", "minimum": 0}
INSTANT: Part = {"type": "string", "format": "date-time"}
MAYBE_TEXT: Part = {"type": ["string", "null"]}
MAYBE_NUMBER: Part = {"type": ["integer", "null"]}

#: The schemas of the clock's orders, by name.
ORDERS = {
    f"Clock{action.title()}": schema for action, (schema, _) in clock.ACTIONS.items()
}

_COUNTS = {"accounts": NUMBER, "bounces": NUMBER, "domains": NUMBER}

SCHEMAS: Mapping[str, Any] = {
    "Rule": faults.FAULT_RULE,
    "Seed": SEED,
    **ORDERS,
    "Clock": record({"now": INSTANT, "frozen": BOOLEAN}),
    "Contents": record(_COUNTS),
    "Snapshot": record({"name": STRING, "created": INSTANT, **_COUNTS}),
    "Fault": record(
        {"id": INTEGER, "rule": ref("Rule"), "matched": NUMBER, "fired": NUMBER}
    ),
    "Entry": record(
        {
            "time": INSTANT,
            "dialect": {"enum": [*faults.OPERATIONS]},
            "operation": MAYBE_TEXT,
            "account": MAYBE_TEXT,
            "domain": MAYBE_TEXT,
            "method": STRING,
            "path": STRING,
            "parameters": {
                "type": "object",
                "additionalProperties": {"anyOf": [STRING, array(STRING)]},
                "description": "Credentials are masked.",
            },
            "status": {**MAYBE_NUMBER, "description": "None if it was dropped."},
            "rows": {**MAYBE_NUMBER, "description": "How many bounces it changed."},
            "fault": {**MAYBE_NUMBER, "description": "The rule that fired."},
        }
    ),
    "Health": record({"status": STRING, "version": STRING, "database": STRING}),
    "ControlError": record({"error": STRING}, errors=array(STRING, minItems=1)),
}

PARAMETERS: Mapping[str, Part] = {
    "id": {"in": "path", "required": True, "schema": NUMBER, "example": 1},
    "name": {
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "example": "before",
        "description": "Not dots only.",
    },
}

RESPONSES: Mapping[str, Part] = {
    f"control_{status}": answer(about, {JSON: ref("ControlError")})
    for status, about in {
        400: "An argument or the body is wrong, or there is an unknown one.",
        401: "A token is needed.",
        403: "The call comes from a page of another site, or by a public name.",
        404: "There is none of this name.",
        409: "It does not fit what is there.",
        413: f"The body has more than {api.MAX_BODY} bytes.",
        503: "The database does not answer.",
    }.items()
}


def _view(
    schema: Part,
    *more: int,
    path: tuple[str, ...] = (),
    parameters: Any = None,
    content: Mapping[str, Part] | None = None,
    status: int = 200,
) -> Callable[[Target], Part]:
    """Return what describes a view that answers JSON of *schema*.

    :param more: statuses that not every view may answer.
    :param path: the parameters in the path.
    :param parameters: the marshmallow schema of the query.
    :param content: the bodies that it takes; none if it takes none.
    """

    def describe(target: Target) -> Part:
        has_body = target.method != "GET"
        refused = {400, 401, 403, 503, *more, *([413] if has_body else [])}
        part: Part = {
            "security": [{}, {"token": []}],
            "responses": {
                str(status): answer("As the summary says.", {JSON: schema}),
                **{str(code): f"control_{code}" for code in sorted(refused)},
            },
        }
        if path or parameters:
            asked = [{"in": "query", "schema": parameters}] if parameters else []
            part["parameters"] = [*path, *asked]
        if content:
            part["requestBody"] = {"required": True, "content": bodies(content)}
        return part

    return describe


def _health(_: Target) -> Part:
    return {
        "security": [],
        "responses": {
            "200": answer("All is well.", {JSON: ref("Health")}),
            "503": answer("The database does not answer.", {JSON: ref("Health")}),
        },
    }


_RULES: Part = {"oneOf": [ref("Rule"), array(ref("Rule"), maxItems=MAX_FAULT_RULES)]}
_ORDER: Part = {
    "oneOf": [ref(name) for name in ORDERS],
    "discriminator": {
        "propertyName": "action",
        "mapping": {
            action: ref(name)["$ref"]
            for action, name in zip(clock.ACTIONS, ORDERS, strict=True)
        },
    },
}
_SEED = ref("Seed")
_REMOVED = record({"removed": NUMBER})

API_VERSION = ApiVersion(
    about=("Emulator", "The control endpoints: all but health only if they are on."),
    security={
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "Where the setting CONTROL_TOKEN is set.",
        }
    },
    schemas=SCHEMAS,
    parameters=PARAMETERS,
    responses=RESPONSES,
    views={
        "control_health.health": _health,
        "control_description.show": _view({"type": "object"}),
        "control_contents.reset": _view(
            ref("Contents"), 404, 409, parameters=contents.RESET
        ),
        "control_contents.seed": _view(
            ref("Contents"), 409, content={JSON: _SEED, YAML: _SEED}
        ),
        "control_clock.show": _view(ref("Clock")),
        "control_clock.change": _view(ref("Clock"), content={JSON: _ORDER}),
        "control_snapshots.index": _view(
            record({"snapshots": array(ref("Snapshot"), maxItems=MAX_SNAPSHOTS)})
        ),
        "control_snapshots.take": _view(ref("Snapshot"), 409, path=("name",)),
        "control_snapshots.restore": _view(ref("Contents"), 404, path=("name",)),
        "control_snapshots.remove": _view(
            record({"removed": STRING}), 404, path=("name",)
        ),
        "control_faults.list_": _view(record({"faults": array(ref("Fault"))})),
        "control_faults.add": _view(
            record({"ids": array(INTEGER)}), content={JSON: _RULES}, status=201
        ),
        "control_faults.clear": _view(_REMOVED),
        "control_faults.show": _view(ref("Fault"), 404, path=("id",)),
        "control_faults.remove": _view(_REMOVED, 404, path=("id",)),
        "control_journal.list_": _view(
            record({"requests": array(ref("Entry"), maxItems=service.MAX_LIMIT)}),
            parameters=requests.LIST,
        ),
        "control_journal.clear": _view(_REMOVED),
        "control_journal.count": _view(
            record({"count": NUMBER}), parameters=requests.FILTER
        ),
    },
)
