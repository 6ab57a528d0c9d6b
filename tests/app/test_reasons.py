"""Why a logged request failed: the credential, the name or the parameter."""

from collections.abc import Iterator

import pytest
from conftest import FixedClock, make_app
from flask.testing import FlaskClient

from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.attempts import MAX_ATTEMPTS
from sendgrid_bounces.emulator import EXTENSION

SEED = {
    "accounts": [
        {"username": "acme", "api_key": "k3y", "domains": [{"name": "mg.example"}]},
        {"username": "other", "api_key": "0ther", "domains": [{"name": "o.example"}]},
        {"username": "keyless"},
    ]
}
LOGIN = "api_user=acme&api_key=k3y"
NO_KEY = "the API key is missing, or no account has it"
KEY = {"auth": ("api", "k3y")}


@pytest.fixture(name="client")
def _client(url: str, clock: FixedClock) -> Iterator[FlaskClient]:
    app = make_app(url, clock, CONTROL="on")
    Control(app.extensions[EXTENSION]).seed(SEED)
    yield app.test_client()
    app.extensions[EXTENSION].storage.close()


def _bearer(key: str, **headers: str) -> dict:
    headers |= {"Authorization": f"Bearer {key}", "Accept": "*/*"}
    return {"headers": headers}


def _why(client: FlaskClient) -> str | None:
    """Return why the last request failed; all forms of the entry agree."""
    control = Control(client.application.extensions[EXTENSION])
    entry = control.requests()[-1]
    why = control.explain(entry)
    assert client.get(f"/_emulator/requests/{entry.id}").json["why"] == why
    page = client.get(f"/_emulator/ui/requests/{entry.id}").text
    assert ("Why?" in page) is (why is not None)
    return why


@pytest.mark.parametrize(
    ("path", "options", "why"),
    [
        (f"/api/bounces.get.json?{LOGIN}", {}, None),
        (f"/api/bounces.get.json?{LOGIN}&start_date=x", {}, "error in start_date: Date must be in YYYY-MM-DD format"),
        (f"/api/bounces.get.xml?{LOGIN}&type=%3Cb%3E", {}, "error in type: must be hard or soft"),
        ("/api/bounces.get.json?api_user=acme&api_key=x", {}, "account 'acme' exists; the API key is wrong"),
        ("/api/bounces.get.json?api_user=acme", {}, "account 'acme' exists; the API key is missing"),
        ("/api/bounces.get.json?api_user=acme&api_key=", {}, "account 'acme' exists; the API key is missing"),
        ("/api/bounces.get.json", {"auth": ("acme", "x")}, "account 'acme' exists; the API key is wrong"),
        ("/api/bounces.get.json?api_user=nobody&api_key=x", {}, "there is no account 'nobody'"),
        ("/api/bounces.get.json?api_user=keyless&api_key=x", {}, "account 'keyless' has no API key"),
        ("/api/bounces.get.json?api_user=apikey&api_key=x", {}, NO_KEY),
        ("/api/bounces.get.json", {}, NO_KEY),
        (f"/api/bounces.nothing.json?{LOGIN}", {}, "sendgrid.direct has no call with this path"),
        ("/v3/mg.example/bounces", {"auth": ("api", "x")}, f"domain 'mg.example' belongs to account 'acme'; {NO_KEY}"),
        ("/v3/nothing.example/bounces", {"auth": ("api", "x")}, NO_KEY),
        ("/v3/nothing.example/bounces", KEY, "there is no domain 'nothing.example'"),
        ("/v3/O.example/bounces", KEY, "domain 'o.example' belongs to account 'other', and the API key to another account"),
        ("/v3/mg.example/bounces/a@x.com", KEY, "the address is not on the list of 'mg.example'"),
        ("/v3/mg.example/bounces?limit=x", KEY, "Invalid format for parameter limit: x"),
        ("/v3/suppression/bounces", _bearer("x"), NO_KEY),
        ("/v3/suppression/bounces", _bearer("k3y", **{"On-Behalf-Of": "other"}), "account 'acme' may not do this"),
        ("/v3/suppression/bounces?start_time=x", _bearer("k3y"), "start_time: must be a time in Unix seconds"),
        ("/v3/suppression/bounces", {"headers": {"Authorization": "Bearer k3y"}}, None),
    ],
)  # fmt: skip
def test_reason_names_the_credential_or_the_parameter(
    client, path: str, options: dict, why: str | None
) -> None:
    client.get(path, **options)

    assert _why(client) == why


def test_reason_names_the_limit(client) -> None:
    """That on wrong keys, or that of a fault rule."""
    for number in range(MAX_ATTEMPTS + 1):
        client.get(f"/api/bounces.get.json?api_user=acme&api_key={number}")
    assert _why(client) == (
        "too many API keys for 'acme' were wrong, or were verified at the same time: "
        "correct the key, or wait 60 seconds"
    )

    rule = {"account": "other", "limit": 1, "window_seconds": 60}
    (fault,) = client.post("/_emulator/faults", json=rule).json["ids"]
    for _ in range(2):
        client.get("/api/bounces.get.json?api_user=other&api_key=0ther")
    assert _why(client) == f"fault rule {fault} limits the rate"


def test_reason_can_be_a_fault_rule(client) -> None:
    client.post("/_emulator/faults", json={"status": 403, "times": 1})
    client.get(f"/api/bounces.get.json?{LOGIN}")
    assert _why(client) == "fault rule 1 set the status"
    client.delete("/_emulator/faults")
    assert _why(client) == "fault rule 1 triggered, and has been removed since"

    client.post("/_emulator/faults", json={"latency_ms": 1})
    client.get("/api/bounces.get.json?api_user=nobody&api_key=x")
    assert _why(client) == "there is no account 'nobody'"
