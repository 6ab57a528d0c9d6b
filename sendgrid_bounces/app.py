"""The application: it wires storage, credentials and dialects, and does no more."""

import os
from collections.abc import Mapping

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from sendgrid_bounces.config import settings
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.credentials import Credentials
from sendgrid_bounces.dialects import Dialect
from sendgrid_bounces.dialects.sendgrid import direct, reseller
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.storage.database import open_storage

#: The first that owns a path words what is refused there.
DIALECTS: tuple[Dialect, ...] = (reseller.DIALECT, direct.DIALECT)


def create_app(
    config: Mapping[str, str] | None = None, clock: Clock | None = None
) -> Flask:
    """Return a WSGI application that answers from one database.

    :param config: settings by name, without the environment variables' prefix; see
        :data:`sendgrid_bounces.config.SETTINGS`. What is not there has its default.
    :param clock: what tells the time; the system's clock if absent.
    :raises BounceError: if a setting is wrong, or the database or a seed file is not
        usable.
    """
    values = settings(config or {})
    emulator = open_emulator(values, clock or Clock())
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    emulator.attach(app)
    for dialect in DIALECTS:
        app.register_blueprint(dialect.blueprint)
    app.register_error_handler(HTTPException, _refuse)
    return app


def open_emulator(values: Mapping[str, str], clock: Clock) -> Emulator:
    """Open the database that the settings *values* name, and plant their seeds."""
    storage = open_storage(values["DATABASE_URL"])
    credentials = Credentials(
        storage, values["KEY_HASH"], accept_any=values["AUTH"] == "any"
    )
    if values["SEED"]:
        from sendgrid_bounces import seeds  # PyYAML is for those who seed

        for path in values["SEED"].split(os.pathsep):
            accounts = seeds.read_seed_file(path, clock.now())
            seeds.plant(storage, credentials, accounts)
    return Emulator(storage, credentials, clock, values["PROFILE"])


def _refuse(error: HTTPException) -> Response:
    """Answer what did not get as far as a view, in the words of who owns the path."""
    status = error.code or 500
    for dialect in DIALECTS:
        if dialect.owns(request.path):
            response = dialect.word(status, request.path)
            break
    else:
        response = jsonify(error=f"{status} {error.name}")
        response.status_code = status
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        allowed = sorted({*error.valid_methods} - {"HEAD", "OPTIONS"})
        response.headers["Allow"] = ", ".join(allowed)
    return response
