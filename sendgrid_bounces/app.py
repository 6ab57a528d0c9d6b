"""The application: create_app() wires storage, dialects and control endpoints."""

import json
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import flask
from flask import Flask, current_app
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.config import Config, load_config
from sendgrid_bounces.control import health, owns
from sendgrid_bounces.core.accounts import ScryptCosts
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.dialects.mailgun import v2, v3
from sendgrid_bounces.dialects.sendgrid import direct, reseller
from sendgrid_bounces.dialects.sendgrid import v3 as sendgrid_v3
from sendgrid_bounces.emulator import Emulator, current_emulator
from sendgrid_bounces.receiving import views as receiving
from sendgrid_bounces.storage.clock import SharedClock
from sendgrid_bounces.storage.database import Storage, closing_on_error, open_storage
from sendgrid_bounces.storage.engine import Identity
from sendgrid_bounces.web.dialect import Dialect, find_owner
from sendgrid_bounces.web.requests import Application, current_client, request
from sendgrid_bounces.web.responses import Response
from sendgrid_bounces.web.routing import AddressConverter

#: All dialects. The first that owns a path renders the errors of requests to it.
DIALECTS: tuple[Dialect, ...] = (
    reseller.DIALECT,
    direct.DIALECT,
    sendgrid_v3.DIALECT,
    v2.DIALECT,
    v3.DIALECT,
)


def create_app(
    config: Config | Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    *,
    dialects: tuple[Dialect, ...] = DIALECTS,
    load_seeds: bool = True,
    prepared: Identity | None = None,
    tag_costs: ScryptCosts | None = None,
) -> Flask:
    """Return a WSGI application on one database.

    :param config: a Config, or values by the names in
        :data:`sendgrid_bounces.config.SETTINGS`; other settings have their defaults.
    :param clock: the source of the current time; by default the system clock.
    :param load_seeds: whether to load the seed files; False if the parent process
        does so.
    :param prepared: the identity of the database, if the parent process has prepared
        it; see :func:`prepare_database`.
    :param tag_costs: see :class:`~sendgrid_bounces.auth.Authenticator`.
    :raises BounceError: if a setting is invalid, a seed file cannot be loaded, or the
        database cannot be opened.
    """
    if not isinstance(config, Config):
        config = load_config(config or {})
    clock = clock or Clock()
    emulator = open_emulator(
        config, clock, dialects, prepared=prepared, tag_costs=tag_costs
    )
    if load_seeds:
        with closing_on_error(emulator.storage):
            load_seed_files(emulator)
    app = routed_app(dialects, has_control=config.control)
    emulator.attach(app)
    if config.control:
        from sendgrid_bounces.control import middleware  # often not needed
        from sendgrid_bounces.pages import routes

        middleware.register(app, emulator)
        create = partial(routed_app, dialects, has_control=False)
        routes.register(app, _render_http_error, create)
    app.register_error_handler(HTTPException, _render_http_error)
    return app


def routed_app(dialects: tuple[Dialect, ...] = DIALECTS, *, has_control: bool) -> Flask:
    """Return an application with all routes, but without an emulator."""
    app = Application(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    app.url_map.converters["address"] = AddressConverter
    for dialect in dialects:
        app.register_blueprint(dialect.blueprint)
    app.register_blueprint(receiving.bp)
    app.register_blueprint(health.bp)
    if has_control:
        from sendgrid_bounces.control.endpoints import bp  # often not needed

        app.register_blueprint(bp)
    return app


def open_emulator(
    config: Config,
    clock: Clock,
    dialects: tuple[Dialect, ...] = DIALECTS,
    *,
    create: bool = True,
    prepared: Identity | None = None,
    tag_costs: ScryptCosts | None = None,
) -> Emulator:
    """Return the emulator on the database of *config*.

    :param create: whether to create a database that does not exist.
    :param prepared: see :func:`create_app`.
    :param tag_costs: see :class:`~sendgrid_bounces.auth.Authenticator`.
    """
    storage = open_storage(
        config.database_url,
        create=create,
        prepared=prepared,
        log_size=config.journal_size,
    )
    storage.engine.limit_writers(max(config.threads * 3 // 4, 1))  # the rest read
    storage.accounts.reserved_domains = frozenset(
        name for dialect in dialects for name in dialect.reserved_domains
    )
    with closing_on_error(storage):
        authenticator = Authenticator(
            storage,
            config.key_hash,
            accept_any=config.auth == "any",
            client=current_client,
            most_waiting=max(config.threads // 2, 1),
            tag_costs=tag_costs,
        )
    if config.control:
        clock = SharedClock(storage.clock, clock)
    return Emulator(storage, authenticator, clock, config, dialects)


def prepare_database(config: Config) -> Storage:
    """Create the database if necessary, and load the seed files.

    The parent process of a server does so once, and closes the database before the
    workers start. They get the identity of its engine.
    """
    emulator = open_emulator(config, Clock())
    with closing_on_error(emulator.storage):
        load_seed_files(emulator)
    return emulator.storage


def check_seed_files(
    config: Config, dialects: tuple[Dialect, ...] = DIALECTS
) -> list[tuple[str, str]]:
    """Check the seed files without a database, and return their implausible fields.

    :returns: pairs of path and message.
    :raises ParametersError: if a file cannot be read or is invalid.
    """
    doubts: list[tuple[str, str]] = []
    if config.seed:
        from sendgrid_bounces.schemas import seeds  # loads PyYAML

        operations = {dialect.name: dialect.operations for dialect in dialects}
        for path in config.seed:
            found: list[tuple[str, str]] = []
            seeds.read_seed_file(path, Clock().now(), operations, found)
            doubts += [(f"{path}: {place}", text) for place, text in found]
    return doubts


def load_seed_files(emulator: Emulator) -> None:
    """Load the seed files of *emulator* in order, each in one transaction.

    :raises BounceError: if a file is invalid; nothing of that file is stored.
    """
    if emulator.config.seed:
        from sendgrid_bounces import seeding  # loads PyYAML
        from sendgrid_bounces.schemas import seeds

        for path in emulator.config.seed:
            now, operations = emulator.clock.now(), emulator.operations
            seed = seeds.read_seed_file(path, now, operations)
            seeding.apply_seed(emulator.storage, emulator.authenticator, seed)


def render_error(app: Flask, status: int, path: str, host: str = "") -> flask.Response:
    """Return an error response in the format of the dialect that owns *path* at *host*.

    Used for requests that reach no view. If no dialect owns *path*, the body is JSON.
    """
    with app.app_context():
        dialect = find_owner(current_emulator().dialects, path, host)
        if dialect is not None:
            return dialect.render_error(status, path)
    body = json.dumps({"error": f"{status} {HTTPStatus(status).phrase}"})
    return Response(body, status, content_type="application/json")


def _render_http_error(error: HTTPException) -> flask.Response:
    """Render an error that the router or the parsing of the request raised."""
    if owns(request.path):
        from sendgrid_bounces.control import api  # often not needed

        return api.render_http_error(error)
    host = request.environ.get("HTTP_HOST", "")
    response = render_error(current_app, error.code or 500, request.path, host)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        allowed = sorted({*error.valid_methods} - {"HEAD", "OPTIONS"})
        response.headers["Allow"] = ", ".join(allowed)
    return response
