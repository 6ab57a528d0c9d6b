"""The health endpoint, which exists even if the control endpoints are off."""

from flask import Blueprint, Response, jsonify

from sendgrid_bounces import __version__
from sendgrid_bounces.control import PREFIX
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web.responses import log_failure

PATH = f"{PREFIX}/health"

bp = Blueprint("control_health", __name__)


@bp.get(PATH)
def health() -> tuple[Response, int]:
    """Report whether the database answers: 200 or 503."""
    storage = current_emulator().storage
    details = {"version": __version__, "database": storage.engine.name}
    try:
        storage.check()
    except StorageError as error:
        log_failure(error)
        return jsonify(status="the database does not answer", **details), 503
    return jsonify(status="ok", **details), 200
