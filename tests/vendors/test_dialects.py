"""The contract of a dialect, checked for every dialect of the application."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import FixedClock, copy_database, make_app
from flask import Flask
from flask.testing import FlaskClient
from toy_dialect import TOY
from werkzeug.routing import Rule

from sendgrid_bounces import app as application
from sendgrid_bounces import dialects
from sendgrid_bounces.app import render_error
from sendgrid_bounces.core import errors
from sendgrid_bounces.core.attempts import MAX_ATTEMPTS
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.web.dialect import Dialect, find_owner

DIALECTS = (*application.DIALECTS, TOY)
IDS = [dialect.name for dialect in DIALECTS]

#: Values for the parameters in the paths of all dialects.
VALUES = {
    "task": "get",
    "suffix": "json",
    "domain": "mg.example.com",
    "_address": "a@example.com",
    "email": "a@example.com",
    "name": "bounces",
    "classification": "Content",
    "_rest": "x",
}


class NewError(errors.BounceError):
    """An error that no dialect has an entry for."""


ERRORS = [
    errors.CredentialsError(),
    errors.NotAuthorizedError(),
    errors.RequestError("the request is not UTF-8"),
    errors.ContentTypeError("cannot read a body"),
    errors.ParametersError([("limit", "must be an integer")]),
    errors.NoFilterError(),
    errors.ConflictError("already exists"),
    errors.UnknownNameError("domain", "mg.example.com"),
    errors.UnknownAddressError(),
    errors.StorageError("disk full"),
    NewError(),
]


@pytest.fixture(name="app")
def _app(url: str, clock: FixedClock, tmp_path: Path, seeded: Path) -> Iterator[Flask]:
    """An application with all dialects and the toy dialect."""
    copy_database(seeded, tmp_path)
    app = make_app(url, clock, DIALECTS)
    yield app
    app.extensions[EXTENSION].storage.close()


def _modules(name: str) -> list[str]:
    package = importlib.import_module(name)
    return [found.name for found in pkgutil.walk_packages(package.__path__, f"{name}.")]


def _rules(app: Flask, dialect: Dialect) -> Iterator[Rule]:
    """Yield the routes of *dialect*."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(f"{dialect.blueprint.name}."):
            yield rule


def _path(app: Flask, rule: Rule) -> str:
    values = {name: VALUES[name] for name in rule.arguments}
    return str(app.url_map.bind("localhost").build(rule.endpoint, values))


def test_every_declared_dialect_is_registered() -> None:
    """A module with a DIALECT must be listed in the application."""
    declared = [
        module.DIALECT
        for name in _modules(dialects.__name__)
        if hasattr(module := importlib.import_module(name), "DIALECT")
    ]

    assert {dialect.name for dialect in declared} == {
        dialect.name for dialect in application.DIALECTS
    }


@pytest.mark.parametrize("dialect", DIALECTS, ids=IDS)
def test_dialect_owns_its_routes(app: Flask, dialect: Dialect) -> None:
    """The owner renders the routing errors of a path."""
    rules = list(_rules(app, dialect))

    assert rules
    for rule in rules:
        assert find_owner(DIALECTS, rule.rule) is dialect, rule.rule


@pytest.mark.parametrize("dialect", DIALECTS, ids=IDS)
@pytest.mark.parametrize("status", [400, 401, 404, 405, 413, 418, 429, 500, 503, 599])
def test_dialect_renders_every_status(
    app: Flask, dialect: Dialect, status: int
) -> None:
    """Including statuses without an entry, and never as HTML."""
    with app.test_request_context():
        for path in ("/x.json", "/x.xml", "/x"):
            response = dialect.render_error(status, path)
            assert response.status_code == status
            assert response.data
            assert b"<html" not in response.data.lower()


@pytest.mark.parametrize("dialect", DIALECTS, ids=IDS)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_dialect_renders_every_error(
    app: Flask,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    dialect: Dialect,
    error: errors.BounceError,
) -> None:
    """Including errors without an entry, and never as HTML."""
    authenticator = app.extensions[EXTENSION].authenticator

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(authenticator, "authenticate", fail)
    monkeypatch.setattr(authenticator, "authenticate_domain", fail)
    rule = next(_rules(app, dialect))
    method = min({*rule.methods} - {"HEAD"})
    path, headers = _path(app, rule), {"Accept": "*/*"}
    response = client.open(path, method=method, auth=("api", "key"), headers=headers)

    assert response.data
    assert b"<html" not in response.data.lower()


@pytest.mark.parametrize("dialect", DIALECTS, ids=IDS)
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b""),
        ("application/x-www-form-urlencoded", b"email=\xff"),
        ("multipart/form-data; boundary=x", b"--x"),
        ("application/json", b"["),
        ("text/plain", b"x"),
    ],
)
def test_request_info_never_fails(
    app: Flask, dialect: Dialect, content_type: str | None, body: bytes
) -> None:
    """A part that does not parse is left out; operations are those of the dialect."""
    for rule in _rules(app, dialect):
        path = _path(app, rule)
        for method in rule.methods:
            with app.test_request_context(
                path, method=method, data=body, content_type=content_type
            ):
                info = dialect.read_request_info()

            assert (info.dialect, info.method, info.path) == (
                dialect.name,
                method,
                path,
            )
            assert info.operation in (None, *dialect.operations)


@pytest.mark.parametrize("dialect", DIALECTS, ids=IDS)
def test_dialect_describes_its_vendor(dialect: Dialect) -> None:
    """Names are vendor and version; the key pattern does not match ordinary text."""
    assert re.fullmatch(r"[a-z]+\.[a-z0-9]+", dialect.name)
    assert dialect.operations
    assert dialect.hosts
    assert not re.search(dialect.key_pattern or "(?!)", "user@example.com 550 5.1.1")


CALLS = {
    "sendgrid.direct": ("/api/bounces.get.json?api_user=a&api_key=b", {}),
    "sendgrid.reseller": ("/apiv2/customer.bounces.json?api_user=a&api_key=b", {}),
    "sendgrid.v3": ("/v3/suppression/bounces", {"Authorization": "Bearer b"}),
    "mailgun.v2": ("/v2/d/bounces", {"Authorization": "Basic YXBpOmI="}),
    "mailgun.v3": ("/v3/d/bounces", {"Authorization": "Basic YXBpOmI="}),
}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_malformed_request_gets_an_error_of_the_dialect(
    app: Flask, client: FlaskClient, dialect: Dialect
) -> None:
    """The server renders it without a request."""
    path = f"{dialect.owns[0]}nothing"
    response = render_error(app, 400, path)
    with app.test_request_context():
        expected = dialect.render_error(400, path)

    assert (response.status_code, response.data) == (400, expected.data)
    assert response.content_type == expected.content_type


def test_addresses_of_one_network_are_one_client(client: FlaskClient) -> None:
    """An IPv6 host cannot send more wrong keys from its other addresses."""
    statuses = [
        client.get(
            "/api/bounces.count.json",
            query_string={"api_user": "acme", "api_key": f"wrong-{number}"},
            environ_base={"REMOTE_ADDR": address},
        ).status_code
        for number, address in enumerate(
            [f"2001:db8::{number:x}" for number in range(MAX_ATTEMPTS + 1)]
            + ["2001:db8:0:1::"]
        )
    ]

    assert statuses[MAX_ATTEMPTS - 1 :] == [403, 429, 403]


@pytest.mark.parametrize(
    "dialect", [d for d in DIALECTS if d.name in CALLS], ids=CALLS.keys()
)
def test_limit_on_wrong_keys_is_rendered(
    app: Flask, client: FlaskClient, monkeypatch, dialect: Dialect
) -> None:
    """The response is that of an injected fault with the same status."""

    def fail(*_: object) -> None:
        raise errors.TooManyAttemptsError

    monkeypatch.setattr(app.extensions[EXTENSION].authenticator, "_limited", fail)
    path, headers = CALLS[dialect.name]
    response = client.get(path, headers={**headers, "Accept": "*/*"})
    with app.test_request_context():
        expected = dialect.render_error(429, path.partition("?")[0])

    assert (response.status_code, response.data) == (429, expected.data)
    assert response.content_type == expected.content_type
