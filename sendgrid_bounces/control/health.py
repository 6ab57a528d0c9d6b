"""Health: whether the emulator and its database answer."""

from flask import Blueprint, Response, jsonify

from sendgrid_bounces import __version__
from sendgrid_bounces.control.api import PREFIX
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web.responses import log_failure

bp = Blueprint("control_health", __name__, url_prefix=PREFIX)

#: Where :mod:`sendgrid_bounces.cli.health` asks.
PATH = f"{PREFIX}/health"


@bp.get("/health")
def health() -> tuple[Response, int]:
    """Answer 200 if a table can be read, and else 503."""
    storage = current_emulator().storage
    facts = {"version": __version__, "database": storage.engine.name}
    try:
        storage.check()
    except StorageError as error:
        log_failure(error)
        return jsonify(status="the database does not answer", **facts), 503
    return jsonify(status="ok", **facts), 200
