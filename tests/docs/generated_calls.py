"""Requests generated from the OpenAPI description get the described responses.

Run by test_openapi_calls.py, with the pytest plugin of Schemathesis.
"""

import copy
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import schemathesis
from conftest import FixedClock, make_app
from flask import Flask

from sendgrid_bounces.cli.serve import DEMO_SEED
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.control.views import DESCRIPTION
from sendgrid_bounces.core.sources import SourceSettings
from sendgrid_bounces.emulator import EXTENSION

TOKEN = "t0ken"

#: The snapshot of the initial state, and the one in the examples of the description.
FRESH, SNAPSHOT = "fresh", "before"

#: The paths of SendGrid v2 at which GET can delete.
SENDGRID_DELETE = re.compile(r"\.(delete|manage|bounces)\.")

#: The beginning of a dispatcher error, in JSON and in XML.
ERROR = re.compile(rb'(?s){"error|{"message":"error|<.*?<message>error')

GENERATION = {"max-examples": 6, "deterministic": True, "database": "none"}
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
#: The name of a source. Its provider defines the bodies, so the description does not.
SOURCE = "events"
UNDESCRIBED = {
    "POST /_sources/{name}",
    "POST /_emulator/sources",
    "DELETE /_emulator/sources/{name}",
}

#: A call that waits for requests returns at once.
PARAMETERS = {"query.timeout": 0}
SOURCES = {"include-path": "/_sources/{name}", "parameters": {"path.name": SOURCE}}

RECORDED_CONFIG = {"seed": 1, "generation": GENERATION, "auth": AUTH, **FEW}
CONFIG = {
    "seed": 1,
    "generation": GENERATION,
    "auth": AUTH,
    "parameters": PARAMETERS,
    "operations": [
        SOURCES,
        {"include-path-regex": "/user|/customer", **FEW},  # aliases of one path
        {
            "include-path": "/_emulator/seed",  # its schema is large
            "generation": {**GENERATION, "max-examples": 25},
            **FEW,
        },
    ],
}
DOCUMENT = json.loads(DESCRIPTION.read_text(encoding="utf-8"))


def with_html_read(document: dict) -> dict:
    """Return *document* with the schema of JSON that is labelled text/html."""
    read = copy.deepcopy(document)
    for part in (*read["paths"].values(), {"": read["components"]}):
        for operation in part.values():
            for response in operation["responses"].values():
                body = response.get("content", {}).get("text/html")
                if body and "contentSchema" in body["schema"]:
                    body["schema"] = body["schema"]["contentSchema"]
    return read


@schemathesis.serializer("message/rfc822")
def _write_mail(_, value: object) -> bytes:
    return str(value).encode()


@schemathesis.serializer("application/x-ndjson")
def _write_lines(_, value: object) -> bytes:
    rows = value if isinstance(value, list) else [value]
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@schemathesis.serializer("text/csv", "text/tab-separated-values")
def _write_file(_, value: object) -> bytes:
    return str(value).encode()


@schemathesis.deserializer("text/html")
def _read_html(_, response) -> object:
    """Read JSON in the profile ``recorded``, and the error page of SendGrid v3."""
    text = response.content.decode()
    return text if text.startswith("<html>") else json.loads(text)


def load(document: dict, config: dict):
    """Return the schema from which pytest makes one test for each operation."""
    loaded = schemathesis.Config.from_dict(config)
    return schemathesis.openapi.from_dict(document, config=loaded)


schemathesis.checks.load_all_checks()
CHECKS = schemathesis.checks.CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    ]
)


class Calls:
    """Sends calls to an application that is in its initial state before each."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._emulator = app.extensions[EXTENSION]
        self._has_changed = True
        self._fault = 0

    def send(self, case):
        """Send *case*, check the response and return it."""
        if self._has_changed:
            self._restore()
        values = case.path_parameters or {}
        if str(values.get("id")) == "1":  # the identifier in the examples
            values["id"] = self._fault if "/faults/" in case.path else self._logged()
        response = case.call_and_validate(app=self._app, checks=CHECKS)
        is_read = case.method == "GET" and not SENDGRID_DELETE.search(case.path)
        self._has_changed = response.status_code < 400 and not is_read
        return response

    def _restore(self) -> None:
        """Restore the initial state, with the snapshot and the rule of the examples."""
        control = Control(self._emulator)
        control.restore_snapshot(FRESH)
        for snapshot in control.snapshots():
            if snapshot.name != FRESH:
                control.remove_snapshot(snapshot.name)
        control.take_snapshot(SNAPSHOT)
        control.clear_faults()
        self._fault = control.add_fault({"path": "/nowhere", "malformed": True})
        sources = self._emulator.storage.sources
        if sources.find(SOURCE) is None:  # it was removed with its account
            sources.add(SOURCE, "demo", "ses", SourceSettings())

    def _logged(self) -> int:
        """Return the identifier of a logged request."""
        self._app.test_client().get("/api/bounces.get.json")
        return Control(self._emulator).requests(1)[0].id


@contextmanager
def application(profile: str, folder: Path) -> Iterator[Calls]:
    """Open an application with the demo seed, which the examples refer to."""
    app = make_app(
        f"sqlite:///{folder / 'bounces.sqlite3'}?synchronous=off",
        FixedClock(),
        CONTROL="on",
        CONTROL_TOKEN=TOKEN,
        PROFILE=profile,
        SEED=str(DEMO_SEED),
    )
    Control(app.extensions[EXTENSION]).take_snapshot(FRESH)
    yield Calls(app)
    app.extensions[EXTENSION].storage.close()


@pytest.fixture(name="documented_calls", scope="module")
def calls_of_documented(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Calls]:
    """An application with the profile ``documented``."""
    with application("documented", tmp_path_factory.mktemp("documented")) as calls:
        yield calls


@pytest.fixture(name="recorded_calls", scope="module")
def calls_of_recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    """An application with the profile ``recorded``."""
    with application("recorded", tmp_path_factory.mktemp("recorded")) as calls:
        yield calls


@pytest.fixture(name="outcomes", scope="module")
def outcomes_by_operation() -> Iterator[defaultdict[str, set[bool]]]:
    """Whether calls succeeded, by operation; of each operation, one call must."""
    outcomes: defaultdict[str, set[bool]] = defaultdict(set)
    yield outcomes
    failed = {label for label, seen in outcomes.items() if True not in seen}
    assert failed <= UNDESCRIBED, failed


def _is_success(response) -> bool:
    """Return whether *response* is no error; the dispatcher's errors have status 200."""
    return response.status_code < 300 and not ERROR.match(response.content)


documented = load(DOCUMENT, CONFIG)
recorded = load(with_html_read(DOCUMENT), RECORDED_CONFIG).include(
    path_regex="^/api/bounces"
)


def test_description_is_valid() -> None:
    """The JSON schema of OpenAPI 3.1 decides."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    documented.validate()


@documented.parametrize()
def test_documented(case, documented_calls, outcomes) -> None:
    """Status, media type and body are described; none is an internal error."""
    response = documented_calls.send(case)
    outcomes[case.operation.label].add(_is_success(response))


@recorded.parametrize()
def test_recorded(case, recorded_calls) -> None:
    """JSON labelled text/html has the described schema."""
    response = recorded_calls.send(case)
    labels = {"json": "text/html", "xml": "text/xml; charset=ISO-8859-1"}
    assert response.headers["content-type"] == [labels[case.path.rpartition(".")[2]]]
