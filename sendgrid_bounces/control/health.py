"""The health endpoint, which exists even if the control endpoints are off."""

from typing import Any

from flask import Blueprint, Response, jsonify

from sendgrid_bounces import __version__
from sendgrid_bounces.control import CONTROL_PATH
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.times import render_optional
from sendgrid_bounces.emulator import Emulator, current_emulator
from sendgrid_bounces.web.responses import log_failure

PATH = f"{CONTROL_PATH}/health"

#: The status if the cause of a failure may not be told, or is not known.
UNKNOWN_FAILURE = "the database does not answer, or reports an error: see the log"

bp = Blueprint("control_health", __name__)


@bp.get(PATH)
def health() -> tuple[Response, int]:
    """Report whether the database can be used, 200 or 503, and what sources sent."""
    emulator = current_emulator()
    storage = emulator.storage
    details: dict[str, Any] = {
        "version": __version__,
        "database": storage.engine.name,
        **_describe_log(emulator),
    }
    try:
        storage.health.check()
        sources = storage.sources.summary()
    except StorageError as error:
        log_failure(error)
        status = error.reason or UNKNOWN_FAILURE
        return jsonify(status=status, **details), 503
    if sources.number:
        details["sources"] = {
            "number": sources.number,
            "refused": sources.refused,
            "last_event": render_optional(sources.last_event),
        }
    return jsonify(status="ok", **details), 200


def _describe_log(emulator: Emulator) -> dict[str, str | int]:
    """Return the state of the request log, as far as this process knows."""
    log = emulator.storage.requests
    if not emulator.config.control or not log.size:
        return {"log": "off", "unlogged": 0}
    state = "degraded" if log.is_degraded or not log.is_stored() else "ok"
    return {"log": state, "unlogged": log.failures}
