"""The routes of reset, seeds, snapshots, the clock, fault rules and the request log."""

import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Response, current_app

from sendgrid_bounces.control import api, documents
from sendgrid_bounces.control.api import route
from sendgrid_bounces.control.documents import ClockReading
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.contents import Counts
from sendgrid_bounces.core.times import parse_duration, parse_instant
from sendgrid_bounces.schemas.base import load
from sendgrid_bounces.schemas.clock import ANY_ACTION, CLOCK_ACTIONS
from sendgrid_bounces.schemas.queries import RESET
from sendgrid_bounces.schemas.requests import COUNT, LIST, WAIT

#: The OpenAPI description of all routes, written by ``python -m tools.openapi``.
DESCRIPTION = Path(__file__).with_name("openapi.json")

#: A parameter in the path of a rule.
_CONVERTER = re.compile(r"<(?:\w+:)?(\w+?)_?>")


@route("/", "GET")
def show_index(control: Control) -> dict[str, Any]:
    """Return the versions, the contents and the list of endpoints."""
    return {
        **documents.render_overview(control.overview()),
        "description": api.DESCRIPTION_PATH,
        "endpoints": [*_endpoints()],
    }


@route("/openapi.json", "GET")
def show_description(_: Control) -> Response:
    """Return the OpenAPI description of all routes."""
    return Response(DESCRIPTION.read_bytes(), content_type="application/json")


@route("/reset", "POST", query=RESET)
def reset(control: Control, to: str, account: str | None) -> Counts:
    """Erase everything, or one account, and reload the seed files."""
    empty = to == "empty"
    if account is None:
        return control.reset(empty=empty)
    return control.reset_account(account, empty=empty)


@route("/seed", "POST", body=api.read_seed)
def seed(control: Control, body: str) -> Counts:
    """Load a seed file from the body."""
    return control.seed(body)


def _freeze(control: Control, body: Mapping[str, str]) -> ClockReading:
    instant = body.get("instant")
    return control.freeze(None if instant is None else parse_instant(instant))


def _set(control: Control, body: Mapping[str, str]) -> ClockReading:
    return control.set_clock(parse_instant(body["instant"]))


def _advance(control: Control, body: Mapping[str, str]) -> ClockReading:
    return control.advance(parse_duration(body["duration"]))


def _reset_clock(control: Control, _: Mapping[str, str]) -> ClockReading:
    return control.reset_clock()


#: The change of the clock by each action.
CLOCK_CHANGES: Mapping[str, Callable[[Control, Mapping[str, str]], ClockReading]] = {
    "freeze": _freeze,
    "set": _set,
    "advance": _advance,
    "reset": _reset_clock,
}


@route("/clock", "GET")
def show_clock(control: Control) -> dict[str, Any]:
    """Return the time of the clock."""
    return documents.render_clock(control.clock())


@route("/clock", "PUT", body=api.read_json)
def change_clock(control: Control, body: Any) -> dict[str, Any]:
    """Freeze, set, advance or reset the clock."""
    action = load(ANY_ACTION, body)["action"]
    values = load(CLOCK_ACTIONS[action], body)
    return documents.render_clock(CLOCK_CHANGES[action](control, values))


@route("/snapshots", "GET")
def list_snapshots(control: Control) -> dict[str, Any]:
    """List the snapshots."""
    found = control.snapshots()
    return {"snapshots": [documents.render_snapshot(snapshot) for snapshot in found]}


@route("/snapshots/<address:name>", "PUT")
def take_snapshot(control: Control, name: str) -> dict[str, Any]:
    """Save the state as a snapshot, or replace a snapshot."""
    return documents.render_snapshot(control.take_snapshot(name))


@route("/snapshots/<address:name>/restore", "POST")
def restore_snapshot(control: Control, name: str) -> Counts:
    """Restore a snapshot."""
    return control.restore_snapshot(name)


@route("/snapshots/<address:name>", "DELETE")
def remove_snapshot(control: Control, name: str) -> dict[str, Any]:
    """Remove a snapshot."""
    control.remove_snapshot(name)
    return {"removed": name}


@route("/faults", "GET")
def list_faults(control: Control) -> dict[str, Any]:
    """List the fault rules in the order in which they are tried."""
    return {"faults": [documents.render_fault(fault) for fault in control.faults()]}


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
    return documents.render_fault(control.fault(id_))


@route("/faults/<int:id_>", "DELETE")
def remove_fault(control: Control, id_: int) -> dict[str, Any]:
    """Remove a fault rule."""
    control.remove_fault(id_)
    return {"removed": 1}


@route("/requests", "GET", query=LIST)
def list_requests(control: Control, **query: Any) -> dict[str, Any]:
    """List the latest logged requests that match, oldest first."""
    found = control.requests(**query)
    return {"requests": [documents.render_request(entry) for entry in found]}


@route("/requests", "DELETE")
def clear_requests(control: Control) -> dict[str, Any]:
    """Clear the request log."""
    return {"removed": control.clear_requests()}


@route("/requests/count", "GET", query=COUNT)
def count_requests(control: Control, **query: Any) -> dict[str, Any]:
    """Count the logged requests that match."""
    return {"count": control.count_requests(**query)}


@route("/requests/<int:id_>", "GET")
def show_request(control: Control, id_: int) -> dict[str, Any]:
    """Return a logged request, and why it failed."""
    entry = control.request(id_)
    return {**documents.render_request(entry), "why": control.explain(entry)}


@route("/requests/wait", "GET", query=WAIT)
def wait_for_requests(control: Control, **query: Any) -> dict[str, Any]:
    """Wait until enough logged requests match, and count the matching requests."""
    return {"count": control.wait_for_requests(**query)}


@route("/migration", "GET")
def show_migration(control: Control) -> dict[str, Any]:
    """Return the v3 requests that replace the logged calls of SendGrid v2."""
    return documents.render_migration(control.migration())


def _endpoints() -> Iterator[dict[str, str]]:
    """Yield the method, the path and the summary of each endpoint."""
    for rule in current_app.url_map.iter_rules():
        if rule.endpoint.startswith("control"):  # the pages are not endpoints
            view = current_app.view_functions[rule.endpoint]
            for method in {*(rule.methods or ())} - {"HEAD", "OPTIONS"}:
                summary = (view.__doc__ or "").partition("\n")[0]
                path = _CONVERTER.sub(r"{\1}", rule.rule)
                yield {"method": method, "path": path, "summary": summary}
