"""A new dialect needs one module, one case file and one entry in the application."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from case_files import Case, read_cases, replay
from conftest import FixedClock, copy_database, make_app
from flask.testing import FlaskClient
from toy_dialect import TOY

from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.pages.console import find_calls
from sendgrid_bounces.testing import interception
from sendgrid_bounces.testing.app import TestApp
from tools.openapi.document import build

ALL_DIALECTS = (*DIALECTS, TOY)

CASES = list(read_cases(Path(__file__).with_name("toy_dialect.http")))

ACME = ("acme", "s3cret")


@pytest.fixture(name="client")
def _client(
    url: str, clock: FixedClock, tmp_path: Path, seeded: Path
) -> Iterator[FlaskClient]:
    """A client of an application with the toy dialect and control endpoints."""
    copy_database(seeded, tmp_path)
    app = make_app(url, clock, ALL_DIALECTS, CONTROL="on")
    yield app.test_client()
    app.extensions[EXTENSION].storage.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_cases_of_the_toy_dialect_are_replayed(client: FlaskClient, case: Case) -> None:
    """Routing errors included."""
    replay(client, case)


@pytest.mark.parametrize("dialect", ["toy", "toy.v1"])
def test_fault_rules_accept_operations_of_the_toy_dialect(
    client: FlaskClient, dialect: str
) -> None:
    """The vendor and the dialect are valid names, too."""
    rule = {"dialect": dialect, "operation": "drop", "account": "acme", "status": 503}
    added = client.post("/_emulator/faults", json=rule)

    assert added.status_code == 201, added.text
    assert client.get("/toy/bounces", auth=ACME).status_code == 200
    failed = client.delete("/toy/bounces/a@example.com", auth=ACME)
    assert (failed.status_code, failed.text) == (503, "error 503")


def test_fault_rules_reject_operations_of_other_dialects(client: FlaskClient) -> None:
    """The error lists the operations of the dialect."""
    rule = {"dialect": "toy.v1", "operation": "import", "status": 503}
    rejected = client.post("/_emulator/faults", json=rule)

    assert rejected.status_code == 400
    assert "list, drop" in rejected.text


def test_toy_requests_are_logged_without_keys(client: FlaskClient) -> None:
    """Its key pattern is redacted wherever a key occurs."""
    client.delete("/toy/bounces/a@example.com?note=toy_12345678", auth=ACME)
    client.get("/toy/other/toy_12345678")
    logged = client.get("/_emulator/requests?dialect=toy").json
    removal, error = logged["requests"]

    assert (removal["operation"], removal["rows"]) == ("drop", 1)
    assert removal["account"] == "acme"
    assert removal["parameters"] == {"note": "***"}
    assert error["path"] == "/toy/other/***"


def test_host_of_the_toy_dialect_is_intercepted() -> None:
    """In the process of a test suite."""
    seed = {"accounts": [{"username": "acme", "api_key": "s3cret"}]}
    app = TestApp(seed=seed, dialects=ALL_DIALECTS)
    try:
        with interception.intercept(app, app.hosts):
            response = requests.get("https://api.toy.example/toy/bounces", auth=ACME)
    finally:
        app.close()

    assert (response.status_code, response.text) == (200, "")


def test_the_openapi_description_lists_toy_routes() -> None:
    """And its operations, in the schema of a fault rule."""
    described = build(ALL_DIALECTS)
    rule = described["components"]["schemas"]["Rule"]["properties"]

    assert {*described["paths"]["/toy/bounces"]} == {"get"}
    assert {*described["paths"]["/toy/bounces/{email}"]} == {"delete"}
    assert "drop" in rule["operation"]["enum"]
    assert {"toy", "toy.v1"} <= {*rule["dialect"]["enum"]}


def test_the_console_offers_toy_calls() -> None:
    """In the order of the description, beside those of the vendors."""
    calls = find_calls(build(ALL_DIALECTS))

    assert "GET /api/bounces.get.json" in calls
    assert calls["GET /toy/bounces"].path == "/toy/bounces"
