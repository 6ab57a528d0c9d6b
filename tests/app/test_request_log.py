"""The request log: entries, filters, size, and redaction of credentials."""

import base64
import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from string import ascii_letters, digits

import pytest
from conftest import NOW, FixedClock, bounce, logged_request, make_app
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.requests import RequestFilter
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage import requests as requests_module
from sendgrid_bounces.storage.database import Storage, open_storage

REQUESTS = "/_emulator/requests"
ACME = "api_user=acme&api_key=s3cret"
BOUNCES = "/v3/samples.mailgun.org/bounces"
MAILGUN = ("api", "key-3ax6xnjp29jd6fds4gc373sgvjxteol0")

SECRET = "Zq7Xw2Kp9LmT4"


@pytest.fixture(name="client")
def _client(controlled_client: FlaskClient) -> FlaskClient:
    return controlled_client


def _entries(client: FlaskClient, query: str = "") -> list[dict]:
    return client.get(f"{REQUESTS}{query}").json["requests"]


CSV = {"file": (BytesIO(b"address\n1@x.example\n2@x.example\n"), "a.csv")}


@pytest.mark.parametrize(
    ("method", "path", "options", "expected"),
    [
        ("GET", f"/api/bounces.get.json?{ACME}", {}, {"operation": "get", "account": "acme", "status": 200}),
        ("POST", "/api/bounces.count.xml", {"data": {"api_user": "x", "api_key": "yy", "limit": "5"}}, {"operation": "count", "account": "x", "status": 403, "parameters": {"api_user": "x", "api_key": "***", "limit": "5"}}),
        ("GET", f"/api/bounces.delete.json?{ACME}&delete_all=1", {}, {"operation": "delete", "rows": "all"}),
        ("GET", "/api/bounces.get.json", {"auth": ("acme", "s3cret")}, {"account": "acme", "status": 200, "parameters": {}}),
        ("GET", f"/apiv2/reseller.manage.json?{ACME}&method=bounces&task=get&user=u", {}, {"dialect": "sendgrid.reseller", "operation": "get", "account": "acme"}),
        ("GET", BOUNCES, {"auth": MAILGUN}, {"dialect": "mailgun.v3", "operation": "list", "account": "mailgun", "domain": "samples.mailgun.org"}),
        ("GET", BOUNCES, {"auth": ("api", "wrong")}, {"operation": "list", "account": "mailgun", "status": 401}),
        ("POST", BOUNCES, {"auth": MAILGUN, "json": [{"address": "a@x.example"}, {"address": "b@x.example"}]}, {"operation": "add", "rows": 2}),
        ("POST", BOUNCES.replace("3", "2"), {"auth": MAILGUN, "data": {"address": "c@x.example"}}, {"dialect": "mailgun.v2", "rows": 1, "parameters": {"address": "c@x.example"}}),
        ("POST", f"{BOUNCES}/import", {"auth": MAILGUN, "data": CSV}, {"operation": "import", "rows": 2, "status": 202}),
        ("DELETE", f"{BOUNCES}/no%40x.example", {"auth": MAILGUN}, {"operation": "remove", "rows": 0, "status": 404}),
        ("DELETE", f"{BOUNCES}/a+b@x.example", {"auth": MAILGUN}, {"path": f"{BOUNCES}/a b@x.example"}),
        ("GET", f"{BOUNCES}/a%2Bb@x.example", {"auth": MAILGUN}, {"path": f"{BOUNCES}/a+b@x.example"}),
        ("PUT", f"/api/bounces.get.json?{ACME}", {}, {"operation": None, "account": None, "status": 405}),
        ("GET", "/v3/nowhere?x=1", {}, {"operation": None, "domain": None, "status": 404, "parameters": {"x": "1"}}),
        ("POST", "/api/bounces.get.json?limit=1", {"data": b"%ff=%ff"}, {"status": 400, "parameters": {"limit": "1"}}),
    ],
)  # fmt: skip
def test_requests_to_dialects_are_logged(
    client, method, path, options, expected
) -> None:
    """Failed and unrouted requests are included."""
    if isinstance(options.get("data"), bytes):
        options = {**options, "content_type": "application/x-www-form-urlencoded"}
    storage = client.application.extensions[EXTENSION].storage
    before = storage.contents.counts().bounces

    answer = client.open(path, method=method, **options)
    (entry,) = _entries(client)
    if expected.get("rows") == "all":
        lost = before - storage.contents.counts().bounces
        assert lost
        expected = {**expected, "rows": lost}
    known = {"method": method, "path": path.partition("?")[0].replace("%40", "@")}
    known |= {"emulated_time": "2012-02-15T12:00:00Z", "fault": None}
    known["status"] = answer.status_code
    known["response_bytes"] = len(answer.data)
    known["response"] = answer.text[:4096]
    assert {**entry, **known, **expected} == entry


def test_other_requests_are_not_logged(client: FlaskClient) -> None:
    """Control endpoints and unknown paths belong to no dialect."""
    for path in ("/_emulator/health", REQUESTS, "/_emulator/nothing", "/", "/x"):
        client.get(path)

    assert _entries(client) == []


def test_triggered_rule_is_logged(client: FlaskClient) -> None:
    """A dropped connection has no status."""
    client.post("/_emulator/faults", json={"status": 503, "times": 1})
    client.post("/_emulator/faults", json={"drop_connection": True, "times": 1})
    client.get("/api/bounces.get.json")
    with pytest.raises(ConnectionError):
        client.get("/api/bounces.get.json")
    client.get("/api/bounces.get.json")

    kept = [(entry["status"], entry["fault"]) for entry in _entries(client)]
    assert kept == [(503, 1), (None, 2), (403, None)]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [0, 1, 2, 3]),
        ("?limit=3", [1, 2, 3]),
        ("?account=acme", [0, 1]),
        ("?account=Acme", []),
        ("?domain=samples.mailgun.org", [2, 3]),
        ("?domain=Samples.Mailgun.ORG", [2, 3]),
        ("?dialect=sendgrid", [0, 1]),
        ("?dialect=mailgun.v3", [3]),
        ("?operation=count&status=200", [1]),
        ("?status=401", [2]),
        ("?status=4xx", [0, 2]),
        ("?status=5XX", []),
        ("?since=2012-02-15T12:00:02Z", [2, 3]),
        ("?since=2012-02-15T12:00:01&account=acme", [1]),
    ],
)
def test_filters_apply_to_list_and_count(
    client: FlaskClient, clock: FixedClock, query, numbers
) -> None:
    """The latest requests are listed, oldest first."""
    calls = ["/api/bounces.get.json?api_user=acme", f"/api/bounces.count.json?{ACME}"]
    calls += [BOUNCES.replace("3", "2"), BOUNCES]
    for call in calls:
        client.get(call, auth=MAILGUN if call is BOUNCES else None)
        clock.instant += 1

    paths = [calls[number].partition("?")[0] for number in numbers]
    assert [entry["path"] for entry in _entries(client, query)] == paths
    if "limit" not in query:
        assert client.get(f"{REQUESTS}/count{query}").json == {"count": len(numbers)}
    assert client.delete(REQUESTS).json == {"removed": 4}
    assert _entries(client) == []


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", f"{REQUESTS}?colour=red", "colour: unknown parameter (known: account, domain, operation, dialect, status, since, after, limit)"),
        ("GET", f"{REQUESTS}?limit=0", "limit: must be an integer from 1 to 10000 (got '0')"),
        ("GET", f"{REQUESTS}?limit=abc", "limit: must be an integer from 1 to 10000 (got 'abc')"),
        ("GET", f"{REQUESTS}?limit=10001", "limit: must be an integer from 1 to 10000 (got '10001')"),
        ("GET", f"{REQUESTS}?status={10**30}", "status: must be a status such as 503, or a class such as 5xx"),
        ("GET", f"{REQUESTS}?status=5x", "status: must be a status such as 503, or a class such as 5xx (got '5x')"),
        ("GET", f"{REQUESTS}?since=yesterday", "since: must be a time"),
        ("GET", f"{REQUESTS}?dialect=smtp", "dialect: must be one of sendgrid, mailgun, sendgrid.direct"),
        ("GET", f"{REQUESTS}?operation=bounces.get", "operation: must be one of get, delete, count"),
        ("GET", f"{REQUESTS}?dialect=mailgun.v2&operation=clear", "operation: must be one of list, add, find, remove (got 'clear')"),
        ("GET", f"{REQUESTS}?account=a&account=b", "account: given more than once"),
        ("GET", f"{REQUESTS}/count?limit=1", "limit: unknown parameter"),
        ("DELETE", f"{REQUESTS}?account=acme", "account: unknown parameter"),
    ],
)  # fmt: skip
def test_invalid_parameters_are_rejected(
    client: FlaskClient, method, path, error: str
) -> None:
    """An unknown parameter is not ignored: a filter was meant."""
    client.get("/api/bounces.get.json")

    answer = client.open(path, method=method)
    assert answer.status_code == 400
    assert answer.json["error"].startswith(error)
    assert len(_entries(client)) == 1


@pytest.mark.parametrize(("size", "kept"), [("0", []), ("2", [3, 4]), ("9", range(5))])
def test_setting_limits_the_size(url, clock, size: str, kept) -> None:
    """The latest requests are kept; 0 disables the log."""
    app = make_app(url, clock, CONTROL="on", JOURNAL_SIZE=size)
    for number in range(5):
        app.test_client().get(f"/api/bounces.get.json?limit={number}")

    limits = [entry["parameters"]["limit"] for entry in _entries(app.test_client())]
    assert limits == [str(number) for number in kept]
    app.extensions[EXTENSION].storage.close()


def test_entries_are_stored_unchanged(storage: Storage) -> None:
    """Unknown values stay None; the identifiers increase."""
    full = logged_request(user_agent="x/1", response_bytes=10**10)
    bare = logged_request(operation=None, account=None, status=None, rows=3, fault=9)
    first, second = storage.requests.add(full), storage.requests.add(bare)
    log = storage.requests

    assert first < second
    full, bare = replace(full, id=first), replace(bare, id=second)
    assert log.find(RequestFilter(), 10) == [full, bare]
    assert log.find(RequestFilter(account="acme"), 10) == [full]
    assert log.count(RequestFilter(status=200, since=NOW)) == 1
    assert log.get(second) == bare
    assert log.clear() == 2


def test_identifiers_are_not_reused(storage: Storage) -> None:
    """A program that has read up to an identifier misses nothing after a reset."""
    seen = storage.requests.add(logged_request())
    storage.requests.clear()
    new = [storage.requests.add(logged_request()) for _ in range(3)]

    after = storage.requests.find(RequestFilter(after=seen), 2)
    assert seen < new[0]
    assert [entry.id for entry in after] == new[:2]


def test_log_is_trimmed_to_its_size(database_url: str) -> None:
    """No reader sees more entries, although they are removed later."""
    size, seen, ended = 20, [], threading.Event()
    with closing(open_storage(database_url, log_size=size)) as storage:

        def watch() -> None:
            while not ended.is_set():
                seen.append(storage.requests.count(RequestFilter()))

        watcher = threading.Thread(target=watch)
        watcher.start()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: storage.requests.add(logged_request()), range(200)))
        ended.set()
        watcher.join()
        newest = storage.requests.find(RequestFilter(), 1)[0].id
        with closing(open_storage(database_url, log_size=1_000)) as other:
            kept = other.requests.count(RequestFilter())
        assert storage.requests.count(RequestFilter()) == max(seen) == size
        assert storage.requests.find(RequestFilter(), 50)[0].id == newest - size + 1
    assert kept < size + 10


@pytest.mark.parametrize("step", [2, 7])
def test_log_with_gaps_is_trimmed_to_its_size(database_url: str, step: int) -> None:
    """As on a cluster, each node of which has its own series of identifiers."""
    with closing(open_storage(database_url, log_size=20)) as storage:
        log = storage.requests
        for number in range(100):
            log.add(logged_request(rows=number))
            newest = log.find(RequestFilter(), 1)[0].id
            log.complete(newest, id=newest + step - newest % step + 1)  # odd, if 2
            found = log.find(RequestFilter(), 99)
            expected = range(max(number - 19, 0), number + 1)
            assert [entry.rows for entry in found] == [*expected]
            assert log.count(RequestFilter()) == len(expected)
        with closing(open_storage(database_url, log_size=1_000)) as other:
            assert other.requests.count(RequestFilter()) < 20 + 5


def test_log_of_short_processes_is_trimmed(database_url: str) -> None:
    """None of them adds many entries."""
    for _ in range(30):
        with closing(open_storage(database_url, log_size=20)) as storage:
            storage.requests.add(logged_request())
    with closing(open_storage(database_url, log_size=1_000)) as storage:
        assert storage.requests.count(RequestFilter()) < 20 + 5


def test_log_does_not_wait_for_writers_of_the_database(
    client: FlaskClient, tmp_path: Path
) -> None:
    """An import locks the database file, and the log has another file."""
    path = tmp_path / "bounces.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        client.get(f"/api/bounces.count.json?{ACME}")
        other.execute("ROLLBACK")

    assert len(_entries(client)) == 1


def test_request_succeeds_if_the_log_cannot_be_written(
    client: FlaskClient, tmp_path: Path, caplog, monkeypatch
) -> None:
    """A warning is logged once, and the health endpoint shows the state."""
    client.get(f"/api/bounces.count.json?{ACME}")
    path = tmp_path / "bounces.sqlite3-requests"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            answer = client.get(f"/api/bounces.count.json?{ACME}")
            assert answer.status_code == 200
        other.execute("ROLLBACK")

    assert caplog.text.count("request not logged") == 1
    health = client.get("/_emulator/health")
    assert (health.status_code, health.json["status"]) == (200, "ok")
    assert (health.json["log"], health.json["unlogged"]) == ("degraded", 2)
    log = client.application.extensions[EXTENSION].storage.requests
    monkeypatch.setattr(log, "_retry_at", 0)  # the pause is over
    client.get(f"/api/bounces.count.json?{ACME}")
    health = client.get("/_emulator/health")
    assert (health.json["log"], health.json["unlogged"]) == ("ok", 2)
    assert len(_entries(client)) == 2


def test_removed_log_is_reported(client: FlaskClient, tmp_path: Path) -> None:
    """The open connections go on writing to a file without a name."""
    client.get(f"/api/bounces.count.json?{ACME}")
    assert client.get("/_emulator/health").json["log"] == "ok"
    for path in tmp_path.glob("bounces.sqlite3-requests*"):
        path.unlink()
    health = client.get("/_emulator/health")
    assert (health.status_code, health.json["log"]) == (200, "degraded")


def test_one_request_at_a_time_waits_for_a_locked_log(
    client: FlaskClient, monkeypatch
) -> None:
    """Other requests are answered at once."""
    log = client.application.extensions[EXTENSION].storage.requests
    began, ended = threading.Event(), threading.Event()

    def insert(*_: object) -> int:
        began.set()
        ended.wait(10)
        raise StorageError("locked")

    monkeypatch.setattr(log._engine, "execute_insert", insert)
    log.is_degraded = True
    thread = threading.Thread(
        target=client.get, args=(f"/api/bounces.count.json?{ACME}",)
    )
    thread.start()
    assert began.wait(10)
    other = client.application.test_client()
    assert other.get(f"/api/bounces.count.json?{ACME}").status_code == 200
    assert log.failures == 1
    ended.set()
    thread.join(10)
    assert log.failures == 2

    monkeypatch.setattr(log, "_retry_at", time.monotonic() + 60)
    client.get(f"/api/bounces.count.json?{ACME}")  # the thread has a pause
    assert log.failures == 3
    monkeypatch.undo()
    client.get(f"/api/bounces.count.json?{ACME}")
    assert (log.failures, log.is_degraded) == (3, False)


def test_attempts_that_wait_for_a_locked_log_are_rare(
    client: FlaskClient, monkeypatch
) -> None:
    """A single client would wait for each process in turn."""
    log = client.application.extensions[EXTENSION].storage.requests
    now, attempts = [100.0], []

    def insert(*_: object) -> int:
        attempts.append(now[0])
        now[0] += 1  # as long as SQLite waits
        raise StorageError("locked")

    monkeypatch.setattr(requests_module, "monotonic", lambda: now[0])
    monkeypatch.setattr(log._engine, "execute_insert", insert)
    for _ in range(40):
        client.get(f"/api/bounces.count.json?{ACME}")
        now[0] += 0.5
    assert attempts == [100.0, 111.0]


def test_request_is_logged_if_the_owner_of_its_domain_cannot_be_read(
    client: FlaskClient, monkeypatch
) -> None:
    """A database that fails after the response was made does not change it."""
    storage = client.application.extensions[EXTENSION].storage

    def fail(_name: str) -> None:
        raise StorageError("gone")

    monkeypatch.setattr(storage.accounts, "find_domain", fail)
    assert client.get(BOUNCES).status_code == 401
    (entry,) = _entries(client, "?status=401")
    assert (entry["account"], entry["domain"]) == (None, "samples.mailgun.org")


def test_damaged_log_does_not_disturb_requests(
    client: FlaskClient, tmp_path: Path
) -> None:
    """The message names the file."""
    (tmp_path / "bounces.sqlite3-requests").write_bytes(b"no database" * 1_000)
    assert client.get(f"/api/bounces.count.json?{ACME}").status_code == 200

    answer = client.get(REQUESTS)
    assert answer.status_code == 503
    assert "bounces.sqlite3-requests" in answer.json["error"]


@pytest.mark.parametrize(
    ("option", "level"), [("", 1), ("?synchronous=normal", 1), ("?synchronous=off", 0)]
)
def test_log_does_not_wait_for_the_disk(tmp_path: Path, option, level) -> None:
    """The database keeps its own level."""
    with closing(open_storage(f"sqlite:///{tmp_path / 'b'}{option}")) as storage:
        storage.requests.add(logged_request())
        found = storage.requests._engine.fetch("PRAGMA synchronous")

    assert found == [(level,)]


def test_log_of_another_database_is_replaced(tmp_path: Path) -> None:
    """The file of the database was removed, and the file of the log was not."""
    url = f"sqlite:///{tmp_path / 'b'}"
    with closing(open_storage(url)) as storage:
        storage.requests.add(logged_request())
    with closing(open_storage(url)) as storage:
        assert storage.requests.count(RequestFilter()) == 1
    (tmp_path / "b").unlink()

    with closing(open_storage(url)) as storage:
        assert storage.requests.count(RequestFilter()) == 0


def test_reset_clears_the_log_and_the_rules(client: FlaskClient) -> None:
    """Without seed files, both are empty."""
    client.post("/_emulator/faults", json={"status": 503})
    client.get("/api/bounces.get.json")
    client.post("/_emulator/reset")

    assert _entries(client) == []
    assert client.get("/_emulator/faults").json == {"faults": []}


def test_reset_reloads_the_rules_of_seed_files(url: str, clock, tmp_path: Path) -> None:
    """The counters are zero, and other rules are gone."""
    seed = tmp_path / "seed.yaml"
    seed.write_text("{accounts: [], faults: [{status: 503, times: 1}]}")
    app = make_app(url, clock, CONTROL="on", SEED=str(seed))
    client = app.test_client()
    client.post("/_emulator/faults", json={"status": 500})

    def statuses() -> list[int]:
        return [client.get("/api/x").status_code for _ in range(2)]

    assert statuses() == [503, 500]
    client.post("/_emulator/reset")
    assert statuses() == [503, 404]
    client.post("/_emulator/reset?to=empty")
    assert statuses() == [404, 404]
    app.extensions[EXTENSION].storage.close()


@pytest.mark.parametrize("name", ["acme", "Mg.example"])
def test_reset_of_an_account_clears_its_rules_and_requests(
    url: str, clock, tmp_path, name
) -> None:
    """Rules and requests of other accounts are kept."""
    rules = [{"status": 503, "times": 1, key: value} for key, value in OWNERS]
    account = {"username": "acme", "api_key": "s3cret"}
    other = {"username": "x", "api_key": "s3cret", "domains": [{"name": "mg.example"}]}
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps({"accounts": [account, other], "faults": rules}))
    app = make_app(url, clock, CONTROL="on", SEED=str(seed))
    client = app.test_client()
    client.post("/_emulator/faults", json=[{**rule, "skip": 1} for rule in rules])
    calls = [
        f"/api/bounces.count.json?{ACME}",
        "/v3/mg.example/bounces",
        "/v2/x/bounces",
    ]
    for call in calls:
        client.get(call)

    answer = client.post(f"/_emulator/reset?account={name}")
    assert answer.status_code == 200
    faults = client.get("/_emulator/faults").json["faults"]
    triggered = [
        (fault["rule"].get("domain", "acme"), fault["fired"]) for fault in faults
    ]
    kept = [entry["domain"] or "acme" for entry in _entries(client)]
    if name == "acme":
        assert triggered == [("mg.example", 1), ("mg.example", 0), ("acme", 0)]
        assert kept == ["mg.example", "x"]
    else:
        assert triggered == [("acme", 1), ("acme", 0), ("mg.example", 0)]
        assert kept == ["acme", "x"]
    app.extensions[EXTENSION].storage.close()


OWNERS = [("account", "acme"), ("domain", "mg.example")]


def test_stream_is_logged_before_it_is_sent(client: FlaskClient) -> None:
    """The entry exists before the first byte."""
    storage = client.application.extensions[EXTENSION].storage
    account = storage.accounts.get("acme")
    bounces = (bounce(f"{i}@many.example", reason="x" * 50) for i in range(1_500))
    storage.bounces.put(account.bounce_list, bounces)

    with client.get(f"/api/bounces.get.json?{ACME}", buffered=False) as answer:
        assert answer.is_streamed
        assert [entry["status"] for entry in _entries(client)] == [200]


#: A form with a file, which is rejected.
MULTIPART = (
    "".join(
        f"--x\r\nContent-Disposition: form-data; {part}\r\n\r\n{SECRET}\r\n"
        for part in ("name=api_key", "name=x; filename=x")
    ).encode()
    + b"--x--"
)


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (f"/api/bounces.get.json?api_user=acme&api_key={SECRET}", {}),
        (f"/api/bounces.get.json?api_user={SECRET}&api_key={SECRET}", {}),
        (f"/api/bounces.get.json?API_KEY={SECRET}&apikey={SECRET}&pass={SECRET}", {}),
        (f"/api/bounces.get.json?api_key[]={SECRET}&reason=was+{SECRET}", {}),
        (f"/api/bounces.get.json?api_user=a;api_key={SECRET}", {}),
        (f"/api/bounces.get.json?api_user=a%26api_key%3D{SECRET}", {}),
        (f"/api/bounces.get.json&api_user=a&api_key={SECRET}", {}),
        (f"/api/bounces.get.json?%ff&api_key={SECRET}", {}),
        (f"/api/bounces.get.json?{SECRET}", {"auth": ("acme", SECRET)}),
        (f"/api/bounces.get.json?api_user=acme&api={SECRET}", {}),
        (f"/api/bounces.get.json?api_user=acme&sig={SECRET}", {}),
        ("/api/bounces.get.json", {"auth": (SECRET, "")}),
        (f"/api/bounces.{SECRET}", {"headers": {"Authorization": f"Bearer {SECRET}"}}),
        ("/api/bounces.get.xml", {"data": {"api_user": "a", "api_key": SECRET}}),
        ("/api/bounces.get.xml", {"data": {"api_user": "a", "api_key": SECRET, "x": "y" * 9_999 + SECRET}}),
        ("/api/bounces.get.xml", {"data": f"{SECRET}&api_key={SECRET}".encode()}),
        ("/apiv2/reseller.manage.json", {"data": {"api_user": "a", "api_key": SECRET, "method": "bounces", "task": SECRET}}),
        ("/api/user.bounces.json", {"data": MULTIPART, "content_type": "multipart/form-data; boundary=x"}),
        (f"/v2/{SECRET}/bounces", {"auth": ("api", SECRET)}),
        (f"/v3/x.example/bounces/{SECRET}@x.example", {"auth": ("api", SECRET)}),
        (f"/v3/x.example/bounces/import?api_key={SECRET}", {"auth": ("api", SECRET)}),
        (f"/v3/{SECRET}:{SECRET}@x.example/bounces", {"auth": ("api", SECRET)}),
        *[
            (f"/api/bounces.get.json?reason={SECRET}", {"headers": {name: value}})
            for name, value in (
                ("Authorization", SECRET),
                ("Authorization", f"Token token={SECRET}"),
                ("Authorization", f'Digest username="u", response="{SECRET}"'),
                ("Authorization", f"Bearer\t{SECRET}"),
                ("Authorization", f'Bearer "{SECRET}"'),
                ("Authorization", f"Basic api:{SECRET}"),
                ("Authorization", f"Basic {base64.b64encode(f'api:{SECRET}'.encode()).decode().rstrip('=')}"),
                ("X-Api-Key", SECRET),
                ("Proxy-Authorization", f"Bearer {SECRET}"),
            )
        ],
        (f"/api/bounces.get.json?reason={SECRET * 2}", {"auth": (SECRET * 2, "x")}),
    ],
)  # fmt: skip
def test_credentials_are_never_stored(client, tmp_path, caplog, path, options) -> None:
    """Secrets are absent from the log, the database files and messages."""
    for method in ("GET", "POST"):
        client.open(path, method=method, **options)

    assert len(_entries(client)) == 2
    assert SECRET not in client.get(REQUESTS).text
    assert SECRET not in caplog.text
    sent = base64.b64encode(f":{SECRET}".encode())[-12:]
    for file in tmp_path.glob("bounces.sqlite3*"):
        assert SECRET.encode() not in file.read_bytes(), file
        assert sent not in file.read_bytes(), file


def test_fields_of_a_proxy_mask_no_data(client) -> None:
    """Such as the address of a person that has logged in there."""
    headers = {
        "X-Auth-Request-Email": "joe@example.com",
        "X-Auth-Request-Groups": "get.json",
    }
    client.get("/api/bounces.get.json?email=joe@example.com", headers=headers)
    (entry,) = _entries(client)
    assert entry["parameters"] == {"email": "joe@example.com"}
    assert entry["path"] == "/api/bounces.get.json"


@pytest.mark.parametrize("id_", [2**63 - 1, 2**63, 10**30])
def test_an_identifier_beyond_the_column_is_unknown(controlled_client, id_) -> None:
    """As any other that no entry has."""
    response = controlled_client.get(f"/_emulator/requests/{id_}")

    assert response.status_code == 404
    assert response.json["error"] == f"there is no request '{id_}'"


def test_wait_returns_when_enough_requests_match(controlled_client) -> None:
    """Or after the timeout, with the number until then."""
    wait = "/_emulator/requests/wait?operation=count"
    assert controlled_client.get(f"{wait}&timeout=0").json == {"count": 0}

    controlled_client.get("/api/bounces.count.json?api_user=acme&api_key=s3cret")

    assert controlled_client.get(wait).json == {"count": 1}
    assert controlled_client.get(f"{wait}&count=2&timeout=0").json == {"count": 1}
    response = controlled_client.get(f"{wait}&timeout=31")
    assert response.status_code == 400
    assert (
        "timeout: must be an integer from 0 to 30 (got '31')" in response.json["error"]
    )


#: Requests with a key in a place where none belongs, or under a misspelt name.
MISTAKES = {
    "name": ("GET", "/api/bounces.get.json?api_user=acme&api_key{key}", None),
    "lone": ("GET", "/api/bounces.get.json?api_user=acme&{key}", None),
    "misspelt": ("GET", "/api/bounces.get.json?api_user=acme&api_kye={key}", None),
    "form": ("POST", "/api/bounces.get.json?aip_key={key}&email={other}", None),
    "twice": ("GET", "/api/bounces.get.json?api_user={other}&api_key={key}", None),
    "value": ("GET", "/api/bounces.get.json?api_key={key}&{other}={other}", None),
    "path": ("GET", "/api/bounces.{other}.json?api_key={key}", None),
    "domain": ("GET", "/v3/{other}/bounces", ("api", "{key}")),
    "subdomain": ("GET", "/v3/{other}.example.com/bounces/x@y.example", ("{key}", "")),
    "address": ("DELETE", "/v3/a.example/bounces/me@{other}.example", ("api", "{key}")),
    "user": ("GET", "/v3/suppression/bounces/{other}", "Bearer {key}"),
}


@given(
    key=st.text(ascii_letters + digits + "-_.", min_size=8, max_size=60)
    .map(lambda text: text.strip("."))
    .filter(lambda text: len(text) >= 8 and any(map(str.isdigit, text))),
    place=st.sampled_from([*MISTAKES]),
    change=st.sampled_from([str, str.lower, str.upper, str.swapcase, str.title]),
)
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_key_of_a_request_is_not_recorded(client, key, place, change) -> None:
    """No field of the entry has the key, in any letter case."""
    method, path, login = MISTAKES[place]
    names = ("User-Agent", "Referer", "Origin", "From", "Cookie", "X-Forwarded-For")
    headers = {name: f"agent {change(key)}" for name in names}
    if isinstance(login, str):
        headers["Authorization"] = login.format(key=key)
    elif login is not None:
        text = ":".join(login).format(key=key)
        headers["Authorization"] = f"Basic {base64.b64encode(text.encode()).decode()}"

    path = path.format(key=key, other=change(key))
    client.open(path, method=method, headers=headers)
    entry = _entries(client)[-1]
    assert entry["method"] == method
    assert key.casefold() not in json.dumps(entry, ensure_ascii=False).casefold()


def test_name_of_a_failed_caller_is_recorded(client: FlaskClient) -> None:
    """The name leads to the program with the wrong settings."""
    client.get("/api/bounces.get.json?api_user=nobody&api_kye=Zq7Xw2Kp9LmT4")

    (entry,) = _entries(client)
    assert entry["account"] == "nobody"
    assert entry["parameters"] == {"api_user": "nobody", "api_kye": "***"}
