"""Requests generated from the OpenAPI description get the described responses."""

import copy
import json
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest
from conftest import FixedClock, make_app
from flask import Flask

from sendgrid_bounces.cli.serve import DEMO_SEED
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.control.views import DESCRIPTION
from sendgrid_bounces.emulator import EXTENSION

schemathesis = pytest.importorskip("schemathesis", reason="needs Python 3.11")

TOKEN = "t0ken"

#: The snapshot of the initial state, and the one in the examples of the description.
FRESH, SNAPSHOT = "fresh", "before"

#: The beginning of a dispatcher error, in JSON and in XML.
ERROR = re.compile(rb'(?s){"error|{"message":"error|<.*?<message>error')

#: Two calls of each operation find a wrong description; ten find a rare one.
QUICK = {"max-examples": 2, "deterministic": True, "database": "none"}
THOROUGH = {**QUICK, "max-examples": 10}
FEW = {"phases": {"coverage": {"enabled": False}}}

AUTH = {
    "openapi": {
        "api_user": {"api_key": "demo"},
        "api_key": {"api_key": "demo"},
        "mailgun": {"username": "api", "password": "demo"},
        "sendgrid_v3": {"bearer": "demo"},
        "token": {"bearer": TOKEN},
    }
}
CONFIG = {"seed": 1, "generation": QUICK, "auth": AUTH, **FEW}
THOROUGH_CONFIG = {
    "seed": 1,
    "generation": THOROUGH,
    "auth": AUTH,
    "operations": [
        {"include-path-regex": "/user|/customer", **FEW},  # aliases of one path
        {
            "include-path": "/_emulator/seed",  # its schema is large
            "generation": {**THOROUGH, "max-examples": 25},
            **FEW,
        },
    ],
}
DOCUMENT = json.loads(DESCRIPTION.read_text(encoding="utf-8"))


def _with_html_read(document: dict) -> dict:
    """Return *document* with the schema of JSON that is labelled text/html."""
    read = copy.deepcopy(document)
    for part in (*read["paths"].values(), {"": read["components"]}):
        for operation in part.values():
            for response in operation["responses"].values():
                body = response.get("content", {}).get("text/html")
                if body and "contentSchema" in body["schema"]:
                    body["schema"] = body["schema"]["contentSchema"]
    return read


@schemathesis.deserializer("text/html")
def _read_html(_, response) -> object:
    """Read JSON in the profile ``recorded``, and the error page of SendGrid v3."""
    text = response.content.decode()
    return text if text.startswith("<html>") else json.loads(text)


def _load(document: dict, config: dict):
    """Return the schema from which pytest makes one test for each operation."""
    loaded = schemathesis.Config.from_dict(config)
    return schemathesis.openapi.from_dict(document, config=loaded)


documented = _load(DOCUMENT, CONFIG)
documented_thorough = _load(DOCUMENT, THOROUGH_CONFIG)
recorded, recorded_thorough = (
    _load(_with_html_read(DOCUMENT), config).include(path_regex="^/api/bounces")
    for config in (CONFIG, {**CONFIG, "generation": THOROUGH})
)

schemathesis.checks.load_all_checks()
CHECKS = schemathesis.checks.CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    ]
)


@pytest.fixture(name="app", scope="module", params=["documented"])
def _app(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    """An application with the demo seed, which the examples refer to."""
    path = tmp_path_factory.mktemp("calls") / "bounces.sqlite3"
    app = make_app(
        f"sqlite:///{path}?synchronous=off",
        FixedClock(),
        CONTROL="on",
        CONTROL_TOKEN=TOKEN,
        PROFILE=request.param,
        SEED=str(DEMO_SEED),
    )
    Control(app.extensions[EXTENSION]).take_snapshot(FRESH)
    yield app
    app.extensions[EXTENSION].storage.close()


@pytest.fixture(name="outcomes", scope="module")
def _outcomes() -> Iterator[defaultdict[str, set[bool]]]:
    """Whether calls succeeded, by operation; of each operation, one call must."""
    outcomes: defaultdict[str, set[bool]] = defaultdict(set)
    yield outcomes
    assert [label for label, seen in outcomes.items() if True not in seen] == []


def _refresh(app: Flask) -> None:
    """Restore the initial state, with the snapshot and the rule of the examples."""
    control = Control(app.extensions[EXTENSION])
    control.restore_snapshot(FRESH)
    for snapshot in control.snapshots():
        if snapshot.name != FRESH:
            control.remove_snapshot(snapshot.name)
    control.take_snapshot(SNAPSHOT)
    control.clear_faults()
    control.add_fault({"path": "/nowhere", "malformed": True})


def _is_success(response) -> bool:
    """Return whether *response* is no error; the dispatcher's errors have status 200."""
    return response.status_code < 300 and not ERROR.match(response.content)


def test_description_is_valid() -> None:
    """The JSON schema of OpenAPI 3.1 decides."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    documented.validate()


@documented.parametrize()
def test_responses_are_described(case, app: Flask, outcomes) -> None:
    """Status, media type and body are; none is an internal error."""
    _check_documented(case, app, outcomes)


@pytest.mark.slow
@documented_thorough.parametrize()
def test_responses_to_unusual_requests_are_described(
    case, app: Flask, outcomes
) -> None:
    """Five times as many calls, and every boundary of every parameter."""
    _check_documented(case, app, outcomes)


def _check_documented(case, app: Flask, outcomes) -> None:
    _refresh(app)
    response = case.call_and_validate(app=app, checks=CHECKS)
    outcomes[case.operation.label].add(_is_success(response))


@pytest.mark.parametrize("app", ["recorded"], indirect=True)
@recorded.parametrize()
def test_responses_of_the_recorded_profile_are_described(case, app: Flask) -> None:
    """JSON labelled text/html has the described schema."""
    _check_recorded(case, app)


@pytest.mark.slow
@pytest.mark.parametrize("app", ["recorded"], indirect=True)
@recorded_thorough.parametrize()
def test_responses_of_the_recorded_profile_to_unusual_requests_are_described(
    case, app: Flask
) -> None:
    """Five times as many calls."""
    _check_recorded(case, app)


def _check_recorded(case, app: Flask) -> None:
    _refresh(app)
    response = case.call_and_validate(app=app, checks=CHECKS)
    labels = {"json": "text/html", "xml": "text/xml; charset=ISO-8859-1"}
    assert response.headers["content-type"] == [labels[case.path.rpartition(".")[2]]]
