"""The endpoints of snapshots."""

from dataclasses import asdict
from typing import Any

from flask import Response, jsonify

from sendgrid_bounces.control.api import blueprint, expect_no_body, read_parameters
from sendgrid_bounces.control.service import current_control
from sendgrid_bounces.core.clock import render_instant
from sendgrid_bounces.storage.snapshots import Snapshot
from sendgrid_bounces.web.requests import route

bp = blueprint("snapshots")


@route(bp, "/snapshots", "GET")
def index() -> Response:
    """Answer what is known of the snapshots."""
    read_parameters()
    found = current_control().snapshots()
    return jsonify(snapshots=[_written(snapshot) for snapshot in found])


@route(bp, "/snapshots/<name>", "PUT")
def take(name: str) -> Response:
    """Take a snapshot, or replace it; answer what is known of it."""
    read_parameters()
    expect_no_body()
    return jsonify(_written(current_control().take_snapshot(name)))


@route(bp, "/snapshots/<name>/restore", "POST")
def restore(name: str) -> Response:
    """Go back to a snapshot; answer how much there is then."""
    read_parameters()
    expect_no_body()
    return jsonify(current_control().restore_snapshot(name))


@route(bp, "/snapshots/<name>", "DELETE")
def remove(name: str) -> Response:
    """Remove a snapshot."""
    read_parameters()
    expect_no_body()
    current_control().remove_snapshot(name)
    return jsonify(removed=name)


def _written(snapshot: Snapshot) -> dict[str, Any]:
    return {**asdict(snapshot), "created": render_instant(snapshot.created)}
