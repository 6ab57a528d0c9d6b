"""The endpoints of the fault rules."""

from http import HTTPStatus
from typing import Any

from flask import Response, jsonify

from sendgrid_bounces.control.api import (
    blueprint,
    expect_no_body,
    read_json,
    read_parameters,
)
from sendgrid_bounces.control.service import current_control
from sendgrid_bounces.core.faults import StoredFault
from sendgrid_bounces.web.requests import route

bp = blueprint("faults")


@route(bp, "/faults", "GET")
def list_() -> Response:
    """Answer all rules, in the order in which they are asked."""
    read_parameters()
    return jsonify(faults=[_plain(fault) for fault in current_control().faults()])


@route(bp, "/faults", "POST")
def add() -> Response:
    """Add a rule, or a list of them; answer what names them."""
    read_parameters()
    response = jsonify(ids=current_control().add_faults(read_json()))
    response.status_code = HTTPStatus.CREATED
    return response


@route(bp, "/faults", "DELETE")
def clear() -> Response:
    """Remove all rules."""
    read_parameters()
    expect_no_body()
    return jsonify(removed=current_control().clear_faults())


@route(bp, "/faults/<int:id_>", "GET")
def show(id_: int) -> Response:
    """Answer one rule."""
    read_parameters()
    return jsonify(_plain(current_control().fault(id_)))


@route(bp, "/faults/<int:id_>", "DELETE")
def remove(id_: int) -> Response:
    """Remove one rule."""
    read_parameters()
    expect_no_body()
    current_control().remove_fault(id_)
    return jsonify(removed=1)


def _plain(fault: StoredFault) -> dict[str, Any]:
    return {
        "id": fault.id,
        "rule": fault.rule.as_dict(),
        "matched": fault.matched,
        "fired": fault.triggered,
    }
