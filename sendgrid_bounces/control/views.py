"""The routes of the control endpoints."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Blueprint, Response
from marshmallow import Schema, fields
from werkzeug.exceptions import HTTPException

from sendgrid_bounces.control import PREFIX, api
from sendgrid_bounces.control.service import ClockReading, Control
from sendgrid_bounces.core.accounts import MAX_NAME
from sendgrid_bounces.core.clock import parse_duration, parse_instant, render_instant
from sendgrid_bounces.core.errors import BounceError
from sendgrid_bounces.core.faults import StoredFault
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.schemas.base import (
    ParametersSchema,
    StrictSchema,
    Text,
    length,
    load,
    one_of,
)
from sendgrid_bounces.schemas.requests import COUNT, LIST, WAIT
from sendgrid_bounces.storage.contents import Counts
from sendgrid_bounces.storage.snapshots import Snapshot

#: The OpenAPI description of all routes, written by ``python -m tools.openapi``.
DESCRIPTION = Path(__file__).with_name("openapi.json")

bp = Blueprint("control", __name__, url_prefix=PREFIX)
bp.register_error_handler(BounceError, api.render_bounce_error)
bp.register_error_handler(HTTPException, api.render_http_error)

route = partial(api.route, bp)


@route("/openapi.json", "GET")
def show_description(_: Control) -> Response:
    """Return the OpenAPI description of all routes."""
    return Response(DESCRIPTION.read_bytes(), content_type="application/json")


class ResetSchema(ParametersSchema):
    """The query parameters of a reset."""

    to = fields.String(
        validate=one_of(["seed", "empty"]),
        load_default="seed",
        metadata={"description": "empty leaves the database empty."},
    )
    account = fields.String(
        validate=length(1, MAX_NAME),
        load_default=None,
        metadata={"description": "Reset only this account, or this domain."},
    )


RESET = ResetSchema()


@route("/reset", "POST", query=RESET)
def reset(control: Control, to: str, account: str | None) -> Counts:
    """Erase everything, or one account, and reload the seed files."""
    empty = to == "empty"
    if account is None:
        return control.reset(empty=empty)
    return control.reset_account(account, empty=empty)


@route("/seed", "POST", body=api.read_text)
def seed(control: Control, body: str) -> Counts:
    """Load a seed file from the body."""
    return control.seed(body)


class ActionSchema(StrictSchema):
    """A change of the clock that has no arguments."""

    action = Text(required=True)


class FreezeSchema(ActionSchema):
    """Stop the clock, now or at an instant."""

    instant = Text(
        metadata={
            "description": "UTC unless it has an offset; the current time if absent."
        }
    )


class AdvanceSchema(ActionSchema):
    """Move the clock forward."""

    duration = Text(
        required=True,
        metadata={
            "description": "An ISO 8601 duration of weeks to seconds, such as PT1H."
        },
    )


def _freeze(control: Control, body: Mapping[str, str]) -> ClockReading:
    instant = body.get("instant")
    return control.freeze(None if instant is None else parse_instant(instant))


def _advance(control: Control, body: Mapping[str, str]) -> ClockReading:
    return control.advance(parse_duration(body["duration"]))


def _reset_clock(control: Control, _: Mapping[str, str]) -> ClockReading:
    return control.reset_clock()


#: The actions of the clock: the schema of the body, and the function.
CLOCK_ACTIONS: Mapping[
    str, tuple[Schema, Callable[[Control, Mapping[str, str]], ClockReading]]
] = {
    "freeze": (FreezeSchema(), _freeze),
    "advance": (AdvanceSchema(), _advance),
    "reset": (ActionSchema(), _reset_clock),
}


class AnyActionSchema(StrictSchema):
    """The field that selects the schema."""

    action = Text(validate=one_of([*CLOCK_ACTIONS]), required=True)


ANY_ACTION = AnyActionSchema(unknown="exclude")


@route("/clock", "GET")
def show_clock(control: Control) -> dict[str, Any]:
    """Return the time of the clock."""
    return _render_clock(control.clock())


@route("/clock", "PUT", body=api.read_json)
def change_clock(control: Control, body: Any) -> dict[str, Any]:
    """Freeze, advance or reset the clock."""
    schema, change = CLOCK_ACTIONS[load(ANY_ACTION, body)["action"]]
    return _render_clock(change(control, load(schema, body)))


def _render_clock(reading: ClockReading) -> dict[str, Any]:
    return {"now": render_instant(reading.now), "frozen": reading.frozen}


@route("/snapshots", "GET")
def list_snapshots(control: Control) -> dict[str, Any]:
    """List the snapshots."""
    return {"snapshots": [_render_snapshot(found) for found in control.snapshots()]}


@route("/snapshots/<name>", "PUT")
def take_snapshot(control: Control, name: str) -> dict[str, Any]:
    """Save the state as a snapshot, or replace a snapshot."""
    return _render_snapshot(control.take_snapshot(name))


@route("/snapshots/<name>/restore", "POST")
def restore_snapshot(control: Control, name: str) -> Counts:
    """Restore a snapshot."""
    return control.restore_snapshot(name)


@route("/snapshots/<name>", "DELETE")
def remove_snapshot(control: Control, name: str) -> dict[str, Any]:
    """Remove a snapshot."""
    control.remove_snapshot(name)
    return {"removed": name}


def _render_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {**asdict(snapshot), "created": render_instant(snapshot.created)}


@route("/faults", "GET")
def list_faults(control: Control) -> dict[str, Any]:
    """List the fault rules in the order in which they are tried."""
    return {"faults": [_render_fault(fault) for fault in control.faults()]}


@route("/faults", "POST", body=api.read_json, status=HTTPStatus.CREATED)
def add_faults(control: Control, body: Any) -> dict[str, Any]:
    """Add a fault rule or a list of rules."""
    return {"ids": control.add_faults(body)}


@route("/faults", "DELETE")
def clear_faults(control: Control) -> dict[str, Any]:
    """Remove all fault rules."""
    return {"removed": control.clear_faults()}


@route("/faults/<int:id_>", "GET")
def show_fault(control: Control, id_: int) -> dict[str, Any]:
    """Return a fault rule."""
    return _render_fault(control.fault(id_))


@route("/faults/<int:id_>", "DELETE")
def remove_fault(control: Control, id_: int) -> dict[str, Any]:
    """Remove a fault rule."""
    control.remove_fault(id_)
    return {"removed": 1}


def _render_fault(fault: StoredFault) -> dict[str, Any]:
    return {
        "id": fault.id,
        "rule": fault.rule.as_dict(),
        "matched": fault.matched,
        "fired": fault.triggered,
    }


@route("/requests", "GET", query=LIST)
def list_requests(control: Control, **query: Any) -> dict[str, Any]:
    """List the latest logged requests that match, oldest first."""
    return {"requests": [_render_request(found) for found in control.requests(**query)]}


@route("/requests", "DELETE")
def clear_requests(control: Control) -> dict[str, Any]:
    """Clear the request log."""
    return {"removed": control.clear_requests()}


@route("/requests/count", "GET", query=COUNT)
def count_requests(control: Control, **query: Any) -> dict[str, Any]:
    """Count the logged requests that match."""
    return {"count": control.count_requests(**query)}


@route("/requests/wait", "GET", query=WAIT)
def wait_for_requests(control: Control, **query: Any) -> dict[str, Any]:
    """Wait until enough logged requests match, and count the matching requests."""
    return {"count": control.wait_for_requests(**query)}


def _render_request(entry: LoggedRequest) -> dict[str, Any]:
    return {**asdict(entry), "time": render_instant(entry.time)}
