"""The application: it wires storage, credentials and dialects, and does no more."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.config import settings, split_paths
from sendgrid_bounces.control import api, health
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.dialects.mailgun import v2, v3
from sendgrid_bounces.dialects.sendgrid import direct, reseller
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.storage.clock import SharedClock
from sendgrid_bounces.storage.database import closing_on_error, open_storage
from sendgrid_bounces.web.dialect import Dialect
from sendgrid_bounces.web.requests import AddressConverter

#: The first that owns a path words what is refused there.
DIALECTS: tuple[Dialect, ...] = (
    reseller.DIALECT,
    direct.DIALECT,
    v2.DIALECT,
    v3.DIALECT,
)


def create_app(
    config: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    *,
    loaded_seeds: Sequence[str] | None = None,
) -> Flask:
    """Return a WSGI application that answers from one database.

    :param config: settings by name, without the environment variables' prefix; see
        :data:`sendgrid_bounces.config.SETTINGS`. What is not there has its default.
    :param clock: what tells the time; the system's clock if absent.
    :param planted: the seed files that whoever started this process has planted
        already; they count instead of those that the settings name, which are planted
        here.
    :raises BounceError: if a setting is wrong, or the database or a seed file is not
        usable.
    """
    values = settings(config or {})
    seeds = seed_paths(values) if loaded_seeds is None else loaded_seeds
    emulator = open_emulator(values, clock or Clock(), seeds)
    if loaded_seeds is None:
        with closing_on_error(emulator.storage):
            load_seed_files(emulator)
    app = routed_app(has_control=emulator.has_control)
    emulator.attach(app)
    if emulator.has_control:
        from sendgrid_bounces.control import middleware

        middleware.register(app, DIALECTS)
    app.register_error_handler(HTTPException, _refuse)
    return app


def routed_app(*, has_control: bool) -> Flask:
    """Return an application that has its routes, and nothing to answer from yet."""
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.converters["address"] = AddressConverter
    for dialect in DIALECTS:
        app.register_blueprint(dialect.blueprint)
    app.register_blueprint(health.bp)
    if has_control:
        from sendgrid_bounces.control.endpoints import CONTROLS  # most are without

        for blueprint in CONTROLS:
            app.register_blueprint(blueprint)
    return app


def open_emulator(
    values: Mapping[str, str],
    clock: Clock,
    seeds: Sequence[str] = (),
    *,
    create: bool = True,
) -> Emulator:
    """Open the database that the settings *values* name.

    :param seeds: the paths of the seed files.
    :param makes: whether it is made if it is not there.
    """
    storage = open_storage(values["DATABASE_URL"], create=create)
    has_control = values["CONTROL"] == "on"
    accept_any = values["AUTH"] == "any"
    with closing_on_error(storage):
        authenticator = Authenticator(
            storage, values["KEY_HASH"], accept_any=accept_any
        )
    return Emulator(
        storage,
        authenticator,
        SharedClock(storage.clock, clock) if has_control else clock,
        values["PROFILE"],
        tuple(str(Path(path).absolute()) for path in seeds),
        has_control,
        int(values["JOURNAL_SIZE"]),
        values["CONTROL_TOKEN"],
    )


def seed_paths(values: Mapping[str, str]) -> list[str]:
    """Return the absolute paths of the seed files that the settings *values* name."""
    return [str(Path(path).absolute()) for path in split_paths(values["SEED"])]


def load_seed_files(emulator: Emulator) -> None:
    """Store the seed files of *emulator*, one after the other.

    :raises BounceError: if a file has a fault; nothing of it is stored.
    """
    if emulator.seeds:
        from sendgrid_bounces import seeding  # PyYAML is for those who seed
        from sendgrid_bounces.schemas import seeds

        for path in emulator.seeds:
            seed = seeds.read_seed_file(path, emulator.clock.now())
            seeding.apply(emulator.storage, emulator.authenticator, seed)


def render_error(app: Flask, status: int, path: str) -> Response:
    """Return what is said of a request that got no further, by whoever owns *path*."""
    with app.app_context():
        for dialect in DIALECTS:
            if dialect.owns(path):
                return dialect.render_error(status, path)
    body = json.dumps({"error": f"{status} {HTTPStatus(status).phrase}"})
    return Response(body, status, content_type="application/json")


def _refuse(error: HTTPException) -> Response:
    """Answer what the router or the request itself refuses."""
    if api.owns(request.path):
        return api.render_http_error(error)
    response = render_error(current_app, error.code or 500, request.path)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        allowed = sorted({*error.valid_methods} - {"HEAD", "OPTIONS"})
        response.headers["Allow"] = ", ".join(allowed)
    return response
