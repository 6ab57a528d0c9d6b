"""The application: it wires storage, credentials and dialects, and does no more."""

import json
import os
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from sendgrid_bounces.config import settings
from sendgrid_bounces.control import health
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.credentials import Credentials
from sendgrid_bounces.dialects import Dialect
from sendgrid_bounces.dialects.mailgun import v2, v3
from sendgrid_bounces.dialects.sendgrid import direct, reseller
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.storage.database import open_storage
from sendgrid_bounces.wire import AddressConverter

#: The first that owns a path words what is refused there.
DIALECTS: tuple[Dialect, ...] = (
    reseller.DIALECT,
    direct.DIALECT,
    v2.DIALECT,
    v3.DIALECT,
)


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
    plant_files(emulator, seed_files(values))
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.converters["address"] = AddressConverter
    emulator.attach(app)
    for dialect in DIALECTS:
        app.register_blueprint(dialect.blueprint)
    app.register_blueprint(health.bp)
    app.register_error_handler(HTTPException, _refuse)
    return app


def open_emulator(values: Mapping[str, str], clock: Clock) -> Emulator:
    """Open the database that the settings *values* name."""
    storage = open_storage(values["DATABASE_URL"])
    credentials = Credentials(
        storage, values["KEY_HASH"], accept_any=values["AUTH"] == "any"
    )
    return Emulator(storage, credentials, clock, values["PROFILE"])


def seed_files(values: Mapping[str, str]) -> list[str]:
    """Return the paths of the seed files that the settings *values* name."""
    return [path for path in values["SEED"].split(os.pathsep) if path]


def plant_files(emulator: Emulator, paths: Sequence[str]) -> None:
    """Store the seed files *paths*, one after the other.

    :raises BounceError: if a file has a fault; nothing of it is stored.
    """
    if paths:
        from sendgrid_bounces import seeds  # PyYAML is for those who seed

        for path in paths:
            accounts = seeds.read_seed_file(path, emulator.clock.now())
            seeds.plant(emulator.storage, emulator.credentials, accounts)


def word_refusal(app: Flask, status: int, path: str) -> Response:
    """Return what is said of a request that got no further, by whoever owns *path*."""
    with app.app_context():
        for dialect in DIALECTS:
            if dialect.owns(path):
                return dialect.word(status, path)
    body = json.dumps({"error": f"{status} {HTTPStatus(status).phrase}"})
    return Response(body, status, content_type="application/json")


def _refuse(error: HTTPException) -> Response:
    """Answer what the router or the request itself refuses."""
    response = word_refusal(current_app, error.code or 500, request.path)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        allowed = sorted({*error.valid_methods} - {"HEAD", "OPTIONS"})
        response.headers["Allow"] = ", ".join(allowed)
    return response
