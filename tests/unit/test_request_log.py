"""The journal: what is kept of requests, for how long, and that no credential is."""

import base64
import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from conftest import NOW, FixedClock, bounce, make_app
from flask.testing import FlaskClient

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.requests import LoggedRequest, RequestFilter
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage.database import Storage, open_storage

REQUESTS = "/_emulator/requests"
ACME = "api_user=acme&api_key=s3cret"
BOUNCES = "/v3/samples.mailgun.org/bounces"
MAILGUN = ("api", "key-3ax6xnjp29jd6fds4gc373sgvjxteol0")

SECRET = "Zq7Xw2Kp9LmT4"

ENTRY = LoggedRequest(
    time=NOW,
    dialect="sendgrid.direct",
    operation="get",
    account="acme",
    domain=None,
    method="GET",
    path="/api/bounces.get.json",
    parameters={"email": ["a@x", "\U0001f600@x"]},
    status=200,
    rows=None,
    fault=None,
)


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
        ("PUT", f"/api/bounces.get.json?{ACME}", {}, {"operation": None, "account": None, "status": 405}),
        ("GET", "/v3/nowhere?x=1", {}, {"operation": None, "domain": None, "status": 404, "parameters": {"x": "1"}}),
        ("POST", "/api/bounces.get.json?limit=1", {"data": b"%ff=%ff"}, {"status": 400, "parameters": {"limit": "1"}}),
    ],
)  # fmt: skip
def test_what_is_kept_of_a_request(client, method, path, options, expected) -> None:
    """Of every call to a path of a dialect, whatever came of it."""
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
    known |= {"time": "2012-02-15T12:00:00Z", "fault": None}
    known["status"] = answer.status_code
    assert {**entry, **known, **expected} == entry


def test_its_own_calls_are_not_in_it(client: FlaskClient) -> None:
    """Nor those to paths of nobody."""
    for path in ("/_emulator/health", REQUESTS, "/_emulator/nothing", "/", "/x"):
        client.get(path)

    assert _entries(client) == []


def test_which_rule_fired_is_kept(client: FlaskClient) -> None:
    """And no status where the connection was dropped."""
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
        ("?since=2012-02-15T12:00:02Z", [2, 3]),
        ("?since=2012-02-15T12:00:01&account=acme", [1]),
    ],
)
def test_filters(client: FlaskClient, clock: FixedClock, query, numbers) -> None:
    """They narrow the list and the count; the last ones are shown, oldest first."""
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
    ("method", "path"),
    [
        ("GET", f"{REQUESTS}?colour=red"),
        ("GET", f"{REQUESTS}?limit=0"),
        ("GET", f"{REQUESTS}?limit=10001"),
        ("GET", f"{REQUESTS}?status=x"),
        ("GET", f"{REQUESTS}?status={10**30}"),
        ("GET", f"{REQUESTS}?since=yesterday"),
        ("GET", f"{REQUESTS}?dialect=smtp"),
        ("GET", f"{REQUESTS}?operation=bounces.get"),
        ("GET", f"{REQUESTS}?account=a&account=b"),
        ("GET", f"{REQUESTS}/count?limit=1"),
        ("DELETE", f"{REQUESTS}?account=acme"),
    ],
)
def test_what_the_endpoints_refuse(client: FlaskClient, method, path) -> None:
    """What is unknown is not ignored: it was meant to narrow something."""
    client.get("/api/bounces.get.json")

    answer = client.open(path, method=method)
    assert (answer.status_code, bool(answer.json["error"])) == (400, True)
    assert len(_entries(client)) == 1


@pytest.mark.parametrize(("size", "kept"), [("0", []), ("2", [3, 4]), ("9", range(5))])
def test_it_holds_as_many_as_the_setting_says(url, clock, size: str, kept) -> None:
    """The last ones; none if that is 0."""
    app = make_app(url, clock, CONTROL="on", JOURNAL_SIZE=size)
    for number in range(5):
        app.test_client().get(f"/api/bounces.get.json?limit={number}")

    limits = [entry["parameters"]["limit"] for entry in _entries(app.test_client())]
    assert limits == [str(number) for number in kept]
    app.extensions[EXTENSION].storage.close()


def test_entries_come_back_as_they_were(storage: Storage) -> None:
    """Whatever is not known in them."""
    bare = replace(ENTRY, operation=None, account=None, status=None, rows=3, fault=9)
    for entry in (ENTRY, bare):
        storage.requests.add(entry, 10)

    assert storage.requests.find(RequestFilter(), 10) == [ENTRY, bare]
    assert storage.requests.find(RequestFilter(account="acme"), 10) == [ENTRY]
    assert storage.requests.count(RequestFilter(status=200, since=NOW)) == 1
    assert storage.requests.clear() == 2


def test_ring_is_trimmed_to_its_size(database_url: str) -> None:
    """Each concurrent writer may exceed it by the entry that it is adding."""
    size, writers, seen, ended = 20, 8, [], threading.Event()
    with closing(open_storage(database_url)) as storage:

        def watch() -> None:
            while not ended.is_set():
                seen.append(storage.requests.count(RequestFilter()))

        def add(_number: int) -> None:
            with suppress(StorageError):  # a busy database leaves an entry out
                storage.requests.add(ENTRY, size)

        watcher = threading.Thread(target=watch)
        watcher.start()
        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(add, range(200)))
        ended.set()
        watcher.join()
        assert storage.requests.count(RequestFilter()) == size
    assert max(seen) <= size + writers


def test_a_busy_database_leaves_an_entry_out(
    client: FlaskClient, tmp_path: Path, caplog, monkeypatch
) -> None:
    """The call is answered all the same, and soon; a line in the log tells of it."""
    storage = client.application.extensions[EXTENSION].storage
    monkeypatch.setattr(storage.requests._relaxed, "_timeout", 1)
    path = tmp_path / "bounces.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = client.get(f"/api/bounces.count.json?{ACME}")
        other.execute("ROLLBACK")

    assert answer.status_code == 200
    assert _entries(client) == []
    assert "a request is not in the journal" in caplog.text
    client.get(f"/api/bounces.count.json?{ACME}")
    assert len(_entries(client)) == 1


def test_changes_wait_and_are_on_disk_as_before(tmp_path: Path) -> None:
    """An entry is written hastily; what comes after it on this connection is not."""
    with closing(open_storage(f"sqlite:///{tmp_path / 'b'}")) as storage:
        settings = ("busy_timeout", "synchronous")
        before = [storage.engine.fetch(f"PRAGMA {name}") for name in settings]
        storage.requests.add(ENTRY, 5)
        after = [storage.engine.fetch(f"PRAGMA {name}") for name in settings]

    assert before == after == [[(30_000,)], [(2,)]]


def test_a_reset_forgets_it_and_the_rules(client: FlaskClient) -> None:
    """Both begin anew, rules with the seed's."""
    client.post("/_emulator/faults", json={"status": 503})
    client.get("/api/bounces.get.json")
    client.post("/_emulator/reset")

    assert _entries(client) == []
    assert client.get("/_emulator/faults").json == {"faults": []}


def test_a_reset_plants_the_seeds_rules_again(url: str, clock, tmp_path: Path) -> None:
    """As if they had never been asked; those that were added are gone."""
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
def test_a_reset_of_one_forgets_what_names_it(url: str, clock, tmp_path, name) -> None:
    """Its rules are the seed's again; others' rules and entries stay as they are."""
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
    hit = [(fault["rule"].get("domain", "acme"), fault["fired"]) for fault in faults]
    kept = [entry["domain"] or "acme" for entry in _entries(client)]
    if name == "acme":
        assert hit == [("mg.example", 1), ("mg.example", 0), ("acme", 0)]
        assert kept == ["mg.example", "x"]
    else:
        assert hit == [("acme", 1), ("acme", 0), ("mg.example", 0)]
        assert kept == ["acme", "x"]
    app.extensions[EXTENSION].storage.close()


OWNERS = [("account", "acme"), ("domain", "mg.example")]


def test_a_long_list_is_kept_at_its_start(client: FlaskClient) -> None:
    """It is in the journal before a byte of it is sent."""
    storage = client.application.extensions[EXTENSION].storage
    account = storage.accounts.get("acme")
    bounces = (bounce(f"{i}@many.example", reason="x" * 50) for i in range(1_500))
    storage.bounces.put(account.bounce_list, bounces)

    with client.get(f"/api/bounces.get.json?{ACME}", buffered=False) as answer:
        assert answer.is_streamed
        assert [entry["status"] for entry in _entries(client)] == [200]


#: A form with a file, which is refused.
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
    ],
)  # fmt: skip
def test_no_credential_is_anywhere(client, tmp_path, caplog, path, options) -> None:
    """Not in the journal, not in the database's files, not in the log."""
    for method in ("GET", "POST"):
        client.open(path, method=method, **options)

    assert len(_entries(client)) == 2
    assert SECRET not in client.get(REQUESTS).text
    assert SECRET not in caplog.text
    sent = base64.b64encode(f":{SECRET}".encode())[-12:]
    for file in tmp_path.glob("bounces.sqlite3*"):
        assert SECRET.encode() not in file.read_bytes(), file
        assert sent not in file.read_bytes(), file
