"""Control endpoints: access, invalid requests, and health."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import FixedClock, make_app, measured_memory
from flask import Flask
from flask.testing import FlaskClient

from sendgrid_bounces.control import api
from sendgrid_bounces.core import attempts
from sendgrid_bounces.core.attempts import MAX_TOKENS
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.schemas import imports

TOKEN = "t0=ken"  # RFC 6750 has the sign at the end only
CLOCK = "/_emulator/clock"


@pytest.fixture(name="make")
def _create(url: str, clock: FixedClock) -> Iterator:
    """A function that returns a client of a new application with these settings."""
    apps: list[Flask] = []

    def make(**config: str) -> FlaskClient:
        apps.append(make_app(url, clock, **config))
        return apps[-1].test_client()

    yield make
    for app in apps:
        app.extensions[EXTENSION].storage.close()


@pytest.fixture(name="control")
def _control(make) -> FlaskClient:
    return make(CONTROL="on")


def test_rows_of_a_file_are_limited(controlled_client, monkeypatch) -> None:
    monkeypatch.setattr(imports, "MAX_ROWS", 2)
    for text, status in (("a@x\nb@x\n", 201), ("c@x\nd@x\ne@x\n", 400)):
        answer = controlled_client.post(
            "/_emulator/bounces?owner=acme", data=text, content_type="text/plain"
        )
        assert answer.status_code == status, answer.text
    assert "more than 1,000,000 rows" in answer.text


@pytest.mark.parametrize("config", [{}, {"CONTROL": "off"}])
def test_only_health_exists_by_default(make, config: dict) -> None:
    """The 404 names the setting that enables the other endpoints."""
    client = make(**config)

    answer = client.get(CLOCK)
    assert answer.status_code == 404
    assert "SENDGRID_BOUNCES_CONTROL_TOKEN, or" in answer.json["error"]
    assert "SENDGRID_BOUNCES_CONTROL=on" in answer.json["error"]
    assert client.get("/_emulator/health").status_code == 200


def test_clock_of_the_database_is_ignored_without_control(
    make, clock: FixedClock
) -> None:
    """A server without control endpoints uses the system time."""
    make(CONTROL="on").put(CLOCK, json={"action": "advance", "duration": "P1D"})

    apps = [make(CONTROL=control).application for control in ("on", "off")]
    nows = [app.extensions[EXTENSION].clock.now() for app in apps]
    assert nows == [clock.now() + 86_400, clock.now()]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Bearer tökén", 401),
        ("Bearer", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        (f"Bearer {TOKEN}", 200),
    ],
)
def test_token_is_required_if_set(make, header, status: int) -> None:
    """Health requires no token."""
    client = make(CONTROL="on", CONTROL_TOKEN=TOKEN)
    headers = {"Authorization": header} if header else {}
    answer = client.get(CLOCK, headers=headers)

    assert answer.status_code == status
    if status == 401:
        assert "Authorization: Bearer TOKEN" in answer.json["error"]
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert TOKEN not in answer.text
    assert client.get("/_emulator/health").status_code == 200


def test_wrong_tokens_are_limited(make, monkeypatch) -> None:
    """By client and application: later even the right one is refused for a while."""
    client, other = (make(CONTROL="on", CONTROL_TOKEN=TOKEN) for _ in range(2))

    def call(token: str, browser: FlaskClient = client, address="192.0.2.1") -> int:
        environ = {"REMOTE_ADDR": address}
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return browser.get(CLOCK, headers=headers, environ_base=environ).status_code

    for _ in range(MAX_TOKENS + 1):  # a repeated token counts once, a missing one never
        assert call("t") == call("") == 401
    assert call(TOKEN) == 200
    assert [call(f"t{n}") for n in range(1, MAX_TOKENS)] == [401] * (MAX_TOKENS - 1)
    assert [call("t"), call("t100"), call(TOKEN), call("")] == [429, 429, 429, 401]

    assert call(TOKEN, address="192.0.2.2") == call(TOKEN, other) == 200
    assert client.get("/_emulator/health").status_code == 200
    headers = {"Authorization": "Bearer x"}
    address = {"REMOTE_ADDR": "192.0.2.1"}
    refused = client.get(CLOCK, headers=headers, environ_base=address)
    assert "too many wrong tokens from this address" in refused.json["error"]
    monkeypatch.setattr(attempts, "WINDOW", 0)
    assert call(TOKEN) == 200


def test_token_is_not_in_the_repr(make) -> None:
    """An emulator can be printed."""
    app = make(CONTROL="on", CONTROL_TOKEN=TOKEN).application

    assert TOKEN not in repr(app.extensions[EXTENSION])


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:8000", "http://localhost:8000", 200),
        ("localhost:8000", "http://localhost:9000", 403),
        ("localhost:8000", "https://localhost:8000", 403),
        ("localhost:8000", "https://evil.example", 403),
        ("localhost:8000", "null", 403),
        ("localhost:8000", "", 403),
        ("evil.example:8000", "http://evil.example:8000", 403),
        ("evil.example:8000", None, 403),
        ("ev_il.example:8000", None, 403),
        ("evil.example.:8000", None, 403),
        ("com.:8000", None, 403),
        ("[", None, 403),
        ("[::1].evil.example", None, 403),
        ("localhost#@evil.example", None, 403),
        ("evil.example@localhost", None, 403),
        ("", None, 403),
        ("127.0.0.1:8000", "http://[", 403),
        ("127.0.0.1:8000", "\u00e4", 403),
        ("127.0.0.1:8000", None, 200),
        ("LOCALHOST:8000", None, 200),
        ("[::1]:8000", None, 200),
        ("bounces:8000", None, 200),
        ("host.docker.internal:8000", None, 200),
    ],
)
def test_web_pages_are_rejected(control, host: str, origin, status: int) -> None:
    """Web pages have another origin or, after DNS rebinding, a public host name."""
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    answer = control.get(CLOCK, headers=headers)

    assert answer.status_code == status
    assert status == 200 or "error" in answer.json


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("X-Forwarded-Host", "bounces.example.com"),
        ("Via", "1.1 proxy"),
        ("X-Real-IP", "192.0.2.1"),
        ("CF-Connecting-IP", "192.0.2.1"),
        ("X-Client-IP", "192.0.2.1"),
        ("X-Original-Forwarded-For", "192.0.2.1"),
    ],
)
def test_proxies_require_a_token(make, name: str, value: str) -> None:
    """The clients of a proxy on the same machine seem to be on this machine."""
    refused = make(CONTROL="on").get(CLOCK, headers={name: value})
    headers = {name: value, "Authorization": f"Bearer {TOKEN}"}
    allowed = make(CONTROL="on", CONTROL_TOKEN=TOKEN).get(CLOCK, headers=headers)

    assert refused.status_code == 403
    assert "require a token" in refused.json["error"]
    assert allowed.status_code == 200


@pytest.mark.parametrize("path", ["a/../../health", "a/%2e%2E/../health", "a/./b"])
def test_paths_with_dots_require_a_token(make, path: str) -> None:
    """A proxy can understand them in another way: the first is ``health`` for nginx."""
    url = f"/_emulator/accounts/{path}"
    refused = make(CONTROL="on").get(url)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    allowed = make(CONTROL="on", CONTROL_TOKEN=TOKEN).get(url, headers=headers)
    assert refused.status_code == 403
    assert "in the path require a token" in refused.json["error"]
    assert allowed.status_code == 404


@pytest.mark.parametrize(
    ("base", "origin", "fields", "status"),
    [
        ("http://a.example", "http://a.example", {}, 200),
        ("http://a.example", "HTTP://A.Example", {}, 200),
        ("http://a.example", "HTTPS://a.example", {}, 403),
        ("http://a.example", "https://a.example", {}, 403),
        ("https://a.example", "https://a.example", {}, 200),
        ("https://a.example", "http://a.example", {}, 403),
        ("http://a.example", "https://a.example", {"X-Forwarded-Proto": "https"}, 200),
        ("http://a.example", "https://b.example", {"X-Forwarded-Proto": "https"}, 403),
    ],
)
def test_scheme_of_the_origin_is_compared(make, base, origin, fields, status) -> None:
    """Except behind a proxy, which may speak TLS with the browser."""
    headers = {"Origin": origin, "Authorization": f"Bearer {TOKEN}", **fields}
    client = make(CONTROL="on", CONTROL_TOKEN=TOKEN)

    assert client.get(CLOCK, base_url=base, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("GET", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", {"Sec-Fetch-Site": "Cross-Site"}, 403),
        ("GET", {"Sec-Fetch-Site": "CROSS-SITE", "Sec-Fetch-Dest": "Document"}, 200),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 200),
        ("PUT", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 403),
        ("GET", {"Sec-Fetch-Site": "same-origin"}, 200),
        ("GET", {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}, 200),
    ],
)
def test_cross_site_requests_are_rejected(control, method, fields, status) -> None:
    """Except a link to a page: the other site cannot read the response."""
    answer = control.open(CLOCK, method=method, headers=fields)

    assert answer.status_code == status


def test_token_allows_a_public_host_name(make) -> None:
    """A foreign web page does not have the token."""
    headers = {"Host": "bounces.example.com", "Authorization": f"Bearer {TOKEN}"}
    answer = make(CONTROL="on", CONTROL_TOKEN=TOKEN).get(CLOCK, headers=headers)

    assert answer.status_code == 200


def test_routing_errors_are_json(control) -> None:
    """A wrong method is answered with the allowed ones."""
    unknown = control.get("/_emulator/nothing")
    wrong = control.delete(CLOCK)

    assert (unknown.status_code, unknown.json) == (
        404,
        {"error": "no such control endpoint (see /_emulator/openapi.json)"},
    )
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET, PUT")
    assert wrong.json == {"error": "method DELETE not allowed (use GET or PUT)"}


def test_body_above_8_mib_is_rejected(control) -> None:
    """The limit is the same for all endpoints."""
    answer = control.put(CLOCK, data=b" " * (8 * 1024 * 1024 + 1))

    assert (answer.status_code, list(answer.json)) == (413, ["error"])


@pytest.mark.parametrize("path", ["/_emulator/seed", "/_emulator/faults"])
def test_number_of_values_is_limited(control, path: str) -> None:
    """It is known before they are parsed."""
    with measured_memory() as memory:
        answer = control.post(path, data=b"[" + b"{}," * 2_000_000 + b"{}]")

    assert answer.status_code == 400
    assert "the JSON has more than 500,000 values" in answer.text
    assert memory.peak < 50_000_000


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_body_that_is_not_json_is_rejected(control, body: bytes) -> None:
    """Deep nesting counts as invalid, too."""
    answer = control.put(CLOCK, data=body)

    assert (answer.status_code, list(answer.json)) == (400, ["error"])


def test_health_reports_a_deleted_database(url: str, clock, caplog) -> None:
    """The open file stays readable, but the data is lost when the server ends."""
    app = make_app(url, clock)
    client = app.test_client()
    assert client.get("/_emulator/health").status_code == 200
    Path(app.extensions[EXTENSION].storage.engine.location).unlink()

    assert client.get("/_emulator/health").status_code == 503
    assert "no longer exists" in caplog.text
    app.extensions[EXTENSION].storage.close()


def test_health_reports_a_newer_schema(controlled_client: FlaskClient, caplog) -> None:
    """A write is refused by the vendor's error; the log and health have the reason."""
    client = controlled_client
    client.application.extensions[EXTENSION].storage.engine.execute(
        "UPDATE about SET schema_version = 99"
    )
    call = "/api/bounces.delete.json?api_user=acme&api_key=s3cret&delete_all=1"
    assert client.get(call).status_code == 503
    assert "needs a newer version of sendgrid-bounces" in caplog.text

    answer = client.get("/_emulator/health")
    assert answer.status_code == 503
    assert answer.json["status"].startswith("the database needs a newer version")
    assert client.get(call.replace("delete.", "count.")).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "/api/bounces.get.json?api_user=acme&api_key=s3cret&date=1",
        "/api/bounces.count.json?api_user=acme&api_key=s3cret&days=1",
        "/_emulator/bounces/count?owner=acme&by=day",
    ],
)
def test_time_zone_that_only_another_system_knows(
    controlled_client: FlaskClient, caplog, target: str
) -> None:
    """The caller has made no mistake: the database comes from a newer system."""
    storage = controlled_client.application.extensions[EXTENSION].storage
    storage.engine.execute("UPDATE account SET timezone = 'Mars/Olympus'")
    assert controlled_client.get(target).status_code == 503
    assert "this system does not know the time zone 'Mars/Olympus'" in caplog.text


def test_long_yaml_is_refused(control, monkeypatch) -> None:
    """JSON of the same length is not: its parser is fast."""
    monkeypatch.setattr(api, "MAX_YAML", 40)
    yaml, document = "accounts: []".ljust(41), '{"accounts": []}'.ljust(41)
    assert control.post("/_emulator/seed", data=document).status_code == 200
    answer = control.post("/_emulator/seed", data=yaml)
    assert answer.status_code == 400
    assert "YAML must have at most 40 characters" in answer.json["error"]


def test_yaml_of_many_values_is_refused(control, monkeypatch) -> None:
    """Each takes hundreds of bytes of memory."""
    monkeypatch.setattr(api, "MAX_INDICATORS", 4)
    for seed, status in (
        ("accounts: [{username: a}]", 200),
        ("accounts: [{username: a, domains: []}]", 400),
        ('{"accounts": [{"username": "a", "domains": []}]}', 200),
    ):
        answer = control.post("/_emulator/seed", data=seed)
        assert answer.status_code == status, answer.text
