"""The endpoints of what is in the database: reset and seed."""

from flask import Response, jsonify
from marshmallow import fields, validate

from sendgrid_bounces.control.api import (
    blueprint,
    expect_no_body,
    read_parameters,
    read_text,
)
from sendgrid_bounces.control.service import current_control
from sendgrid_bounces.core.accounts import MAX_NAME
from sendgrid_bounces.schemas.base import StrictSchema
from sendgrid_bounces.web.requests import route

bp = blueprint("contents")


class ResetSchema(StrictSchema):
    """How far back to go, and who."""

    to = fields.String(validate=validate.OneOf(["seed", "empty"]), load_default="seed")
    account = fields.String(validate=validate.Length(1, MAX_NAME), load_default=None)


RESET = ResetSchema()


@route(bp, "/reset", "POST")
def reset() -> Response:
    """Go back to the seed, or to nothing; answer how much there is then."""
    parameters = read_parameters(RESET)
    expect_no_body()
    control, empty = current_control(), parameters["to"] == "empty"
    account = parameters["account"]
    if account is None:
        return jsonify(control.reset(empty=empty))
    return jsonify(control.reset_account(account, empty=empty))


@route(bp, "/seed", "POST")
def seed() -> Response:
    """Add what a seed file in the body holds; answer how much there is then."""
    read_parameters()
    return jsonify(current_control().seed(read_text()))
