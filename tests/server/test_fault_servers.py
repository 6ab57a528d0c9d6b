"""Faults and the request log on real servers: connections and several workers."""

import http.client
import json
import socket
import sqlite3
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from live import TIMEOUT, Live, kill, serving
from werkzeug.serving import make_server

from sendgrid_bounces.app import create_app
from sendgrid_bounces.emulator import EXTENSION

pytestmark = pytest.mark.server

FAULTS = "/_emulator/faults"
DEMO = "api_user=demo&api_key=demo"
LIST = f"/api/bounces.get.json?{DEMO}"
COUNT = f"/api/bounces.count.json?{DEMO}"


@pytest.fixture(name="demo")
def _demo():
    """A server with the demo seed and two workers."""
    with serving("--demo") as live:
        yield live


def _fault(live: Live, **rule) -> None:
    live.get(FAULTS, json.dumps({"times": 1, **rule}).encode())


def _read(url: str, target: str) -> tuple[int, bytes]:
    """Return the status (0 without a response) and all received bytes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    return int(received.split(b" ")[1]) if received else 0, received


@pytest.mark.parametrize("when", [True, "before", "after"])
def test_dropped_connection_sends_nothing(demo: Live, when) -> None:
    """The log has no traceback."""
    _fault(demo, drop_connection=when, operation="delete")

    target = f"/api/bounces.delete.json?{DEMO}&email=rawest@gmail.co"
    assert _read(demo.url, target) == (0, b"")
    assert demo.get(COUNT) == (
        '{"count": "5"}' if when == "after" else '{"count": "6"}'
    )
    _, stderr = kill(demo.process)
    assert "Traceback" not in stderr
    assert "rror" not in stderr


@pytest.mark.parametrize("client", ["urllib", "http.client"])
def test_dropped_connection_raises_in_the_client(demo, client: str) -> None:
    """The error is the same as when a server dies, also on a persistent connection."""
    _fault(demo, drop_connection=True, skip=1)
    if client == "urllib":
        demo.get(COUNT)
        with pytest.raises((ConnectionError, urllib.error.URLError)):
            demo.get(COUNT)
    else:
        with closing(_connection(demo)) as connection:
            connection.request("GET", COUNT)
            connection.getresponse().read()
            connection.request("GET", COUNT)
            with pytest.raises(http.client.RemoteDisconnected):
                connection.getresponse()
    assert demo.get(COUNT)


def _connection(live: Live) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(live.url.removeprefix("http://"), timeout=TIMEOUT)


@pytest.mark.parametrize(
    ("kept", "bytes_"), [(True, 533), (7, 7), (0, 0), (5_000, 1_066)]
)
def test_truncated_body_ends_early(demo: Live, kept, bytes_: int) -> None:
    """Content-Length counts the whole body."""
    whole = demo.get(LIST).encode()
    _fault(demo, truncate=kept)

    status, received = _read(demo.url, LIST)
    head, _, body = received.partition(b"\r\n\r\n")
    assert status == 200
    assert f"Content-Length: {len(whole)}".encode() in head
    assert body == whole[:bytes_]

    _fault(demo, truncate=kept)
    with pytest.raises(http.client.IncompleteRead):
        demo.get(LIST)


def test_truncated_stream_lacks_its_end(tmp_path: Path) -> None:
    """The last chunk is missing."""
    bounces = [{"email": f"{i}@x.example", "reason": "x" * 60} for i in range(2_000)]
    account = {"username": "demo", "api_key": "demo", "bounces": bounces}
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps({"accounts": [account]}))
    database = f"sqlite:///{tmp_path / 'b'}"
    with serving("--database", database, "--seed", str(seed)) as live:
        for kept in (True, 100):
            _fault(live, truncate=kept)
            _status, received = _read(live.url, LIST)
            assert b"Transfer-Encoding: chunked" in received
            assert not received.endswith(b"0\r\n\r\n")
            _fault(live, truncate=kept)
            with pytest.raises(http.client.IncompleteRead):
                live.get(LIST)
        assert len(json.loads(live.get(LIST))) == 2_000
        _, stderr = kill(live.process)
    assert "Traceback" not in stderr


def test_latency_delays_the_response(demo: Live) -> None:
    """Other requests are served meanwhile."""
    _fault(demo, latency_ms=600, operation="get")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(demo.get, LIST)
        while json.loads(demo.get(FAULTS))["faults"][0]["fired"] == 0:
            pass
        assert demo.get(COUNT) == '{"count": "6"}'
        assert not slow.done()
        assert len(json.loads(slow.result(TIMEOUT))) == 6


def test_effects_can_be_combined(demo: Live) -> None:
    """An error with a malformed body."""
    _fault(demo, status=502, malformed=True, retry_after=1)

    with pytest.raises(urllib.error.HTTPError) as caught:
        demo.get(LIST)
    with closing(caught.value) as error:
        assert (error.code, error.headers["Retry-After"]) == (502, "1")
        with pytest.raises(json.JSONDecodeError):
            json.loads(error.read())


@pytest.mark.parametrize("rule", [{"drop_connection": True}, {"truncate": 10}])
def test_werkzeug_server_drops_connections(url: str, capfd, rule: dict) -> None:
    """Test suites often run an application on this server, in a thread."""
    app = create_app(
        {"DATABASE_URL": url, "CONTROL": "on", "KEY_HASH": "scrypt:128:8:1"}
    )
    app.test_client().post(FAULTS, json=rule)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        _, received = _read(f"http://127.0.0.1:{server.port}", "/api/x")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.extensions[EXTENSION].storage.close()

    body = received.partition(b"\r\n\r\n")[2]
    assert (received, body) == (b"", b"") if "truncate" not in rule else len(body) == 10
    assert "Traceback" not in capfd.readouterr().err


def _status(live: Live, target: str) -> int:
    try:
        live.get(target)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


@pytest.mark.parametrize(
    ("rule", "failed"),
    [({"status": 503, "times": 1}, 1), ({"limit": 150, "window_seconds": 3600}, 10)],
)
def test_workers_share_the_rules(database_url, tmp_path, rule, failed: int) -> None:
    """Four workers with sixteen clients fail the same number of requests as one worker."""
    seed = tmp_path / "seed.json"
    accounts = [{"username": "demo", "api_key": "demo"}]
    seed.write_text(json.dumps({"accounts": accounts, "faults": [rule]}))
    arguments = ("--database", database_url, "--seed", str(seed), "--workers", "4")
    with serving(*arguments, SENDGRID_BOUNCES_JOURNAL_SIZE="50") as live:
        with ThreadPoolExecutor(16) as pool:
            statuses = Counter(pool.map(lambda _: _status(live, COUNT), range(160)))
        (fault,) = json.loads(live.get(FAULTS))["faults"]
        requests = json.loads(live.get("/_emulator/requests/count"))

    assert statuses[200] == 160 - failed
    assert sum(statuses.values()) == 160
    assert fault["fired"] == failed
    assert requests == {"count": 50}


SECRET = "Zq7Xw2Kp9LmT4"


def test_credentials_are_never_stored_or_logged(tmp_path: Path) -> None:
    """Valid and invalid requests of all dialects."""
    seed = tmp_path / "seed.json"
    domain = {"name": "mg.example", "bounces": [{"email": "a@x"}]}
    account = {
        "username": "acme",
        "api_key": SECRET,
        "customers": [],
        "domains": [domain],
    }
    seed.write_text(json.dumps({"accounts": [account]}))
    basic = {"Authorization": f"Basic {b64encode(f'api:{SECRET}'.encode()).decode()}"}
    targets = [
        f"/api/bounces.get.json?api_user=acme&api_key={SECRET}",
        f"/api/bounces.get.json&api_user=acme&api_key={SECRET}",
        f"/api/bounces.get.json?api_user=acme;api_key={SECRET}",
        f"/apiv2/reseller.manage.xml?api_user=acme&api_key={SECRET}&method=x",
        f"/v2/mg.example/bounces?key={SECRET}",
        f"/v3/mg.example/bounces?api_key={SECRET}",
        f"/v3/mg.example/bounces/{SECRET}",
        f"/v3/{SECRET}/bounces",
        f"/api/bounces.get.json?api_key={SECRET}#fragment",
        f"/api/{'x' * 9_000}?api_key={SECRET}",
    ]
    database = f"sqlite:///{tmp_path / 'b.sqlite3'}"
    with serving("--database", database, "--seed", str(seed)) as live:
        seed.unlink()
        _fault(live, drop_connection="after", operation="count")
        for target in [
            *targets,
            f"/api/bounces.count.json?api_user=acme&api_key={SECRET}",
        ]:
            with closing(_connection(live)) as connection:
                connection.putrequest("POST" if "api/" in target else "GET", target)
                for name, value in {**basic, "Content-Length": "0"}.items():
                    connection.putheader(name, value)
                connection.endheaders()
                try:
                    connection.getresponse().read()
                except http.client.RemoteDisconnected:
                    assert "count" in target
        requests = live.get("/_emulator/requests")
        written = "".join(kill(live.process))

    entries = json.loads(requests)["requests"]
    # The longest URL was rejected before the application; the dropped request is logged
    assert len(entries) == len(targets)
    assert {entry["dialect"] for entry in entries} == {
        "sendgrid.direct",
        "sendgrid.reseller",
        "mailgun.v2",
        "mailgun.v3",
    }
    assert {entry["account"] for entry in entries} >= {"acme"}
    assert SECRET not in requests
    assert SECRET not in written
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes(), file
    with closing(sqlite3.connect(tmp_path / "b.sqlite3-requests")) as connection:
        found = connection.execute("SELECT COUNT(*) FROM logged_request").fetchone()
    assert found == (10,)
