"""The clock's endpoint."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, jsonify
from marshmallow import Schema, fields, validate

from sendgrid_bounces.control.api import blueprint, read_json, read_parameters
from sendgrid_bounces.control.service import ClockReading, Control, current_control
from sendgrid_bounces.core.clock import parse_duration, parse_instant, render_instant
from sendgrid_bounces.schemas.base import StrictSchema, load
from sendgrid_bounces.web.requests import route

bp = blueprint("clock")


class OrderSchema(StrictSchema):
    """An order that says no more: to show the system's time."""

    action = fields.String(required=True)


class FreezeSchema(OrderSchema):
    """To let it stand: at an instant, or now."""

    instant = fields.String()


class AdvanceSchema(OrderSchema):
    """To put it forward."""

    duration = fields.String(required=True)


def _freeze(control: Control, order: Mapping[str, Any]) -> ClockReading:
    instant = order.get("instant")
    return control.freeze(None if instant is None else parse_instant(instant))


def _advance(control: Control, order: Mapping[str, Any]) -> ClockReading:
    return control.advance(parse_duration(order["duration"]))


def _reset(control: Control, _: Mapping[str, Any]) -> ClockReading:
    return control.reset_clock()


#: An action: the schema of its order, and what it does.
ACTIONS: dict[
    str, tuple[Schema, Callable[[Control, Mapping[str, Any]], ClockReading]]
] = {
    "freeze": (FreezeSchema(), _freeze),
    "advance": (AdvanceSchema(), _advance),
    "reset": (OrderSchema(), _reset),
}


class ActionSchema(StrictSchema):
    """What says which of the orders it is."""

    action = fields.String(required=True, validate=validate.OneOf(ACTIONS))


ACTION = ActionSchema(unknown="exclude")


@route(bp, "/clock", "GET")
def show() -> Response:
    """Answer what the clock shows."""
    read_parameters()
    return _answer(current_control().clock())


@route(bp, "/clock", "PUT")
def change() -> Response:
    """Set the clock, and answer what it shows then."""
    read_parameters()
    order = read_json()
    schema, act = ACTIONS[load(ACTION, order)["action"]]
    return _answer(act(current_control(), load(schema, order)))


def _answer(reading: ClockReading) -> Response:
    return jsonify(now=render_instant(reading.now), frozen=reading.frozen)
