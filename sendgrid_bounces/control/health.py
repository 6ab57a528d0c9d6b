"""The health endpoint, which exists even if the control endpoints are off."""

from typing import Any

from flask import Blueprint, Response, jsonify

from sendgrid_bounces import __version__
from sendgrid_bounces.control import PREFIX
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.times import render_optional
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web.responses import log_failure

PATH = f"{PREFIX}/health"

bp = Blueprint("control_health", __name__)


@bp.get(PATH)
def health() -> tuple[Response, int]:
    """Report whether the database answers, 200 or 503, and what sources sent."""
    storage = current_emulator().storage
    details: dict[str, Any] = {"version": __version__, "database": storage.engine.name}
    try:
        storage.check()
        sources = storage.sources.summary()
    except StorageError as error:
        log_failure(error)
        return jsonify(status="the database does not answer", **details), 503
    if sources.number:
        details["sources"] = {
            "number": sources.number,
            "refused": sources.refused,
            "last_event": render_optional(sources.last_event),
        }
    return jsonify(status="ok", **details), 200
