"""Snapshots: named copies of the whole state, taken and restored in a transaction."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from conftest import NOW, SEEDS, FixedClock, bounce, make_app, measured_memory
from flask.testing import FlaskClient
from test_reset import disturb, post, state

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import ConflictError, UnknownNameError
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage import snapshots
from sendgrid_bounces.storage.database import Storage, open_storage

SEED = json.dumps(
    {
        "accounts": [
            {
                "username": "acme",
                "api_key": "s3cret",
                "profile": "recorded",
                "timezone": "Europe/Berlin",
                "bounces": [
                    {"email": f"{n}@example.com", "created": "2011-01-01 00:00:00"}
                    for n in (3, 1, 2)
                ],
                "customers": [{"username": "customer", "api_key": "k"}],
                "domains": [
                    {
                        "name": "own.example.com",
                        "bounces": [{"email": "Ö@example.com"}],
                    },
                    {"name": "shared.example.com", "list": "account"},
                ],
            },
            {"username": "plain"},
        ]
    }
)


@pytest.fixture(name="client")
def _client(database_url: str, clock: FixedClock) -> Iterator[FlaskClient]:
    app = make_app(database_url, clock, CONTROL="on")
    client = app.test_client()
    assert post(client, "seed", data=SEED).status_code == 200
    yield client
    app.extensions[EXTENSION].storage.close()


@pytest.fixture(name="storage")
def _storage(client: FlaskClient) -> Storage:
    return client.application.extensions[EXTENSION].storage


def take(client: FlaskClient, name: str = "before"):
    return client.put(f"/_emulator/snapshots/{name}")


def test_restore_brings_the_whole_state_back(client, storage) -> None:
    """That is keys, customers, domains, lists, the order of bounces and the clock."""
    client.put("/_emulator/clock", json={"action": "advance", "duration": "P1D"})
    before = state(storage)
    taken = take(client)
    disturb(storage)
    client.put("/_emulator/clock", json={"action": "freeze"})

    answer = post(client, "snapshots/before/restore")

    counts = {"accounts": 3, "domains": 2, "bounces": 4}
    assert taken.json == {"name": "before", "created": "2012-02-15T12:00:00Z", **counts}
    assert (answer.status_code, answer.json) == (200, counts)
    assert state(storage) == before
    target = "/api/bounces.count.json?api_user=acme&api_key=s3cret"
    assert client.get(target).text == '{"count": 3}'


def test_restore_can_be_repeated(client, storage) -> None:
    """A snapshot survives a reset; restored lists have new identifiers."""
    before = state(storage)
    take(client)
    identifiers: set = set()
    for _ in range(3):
        post(client, "reset?to=empty")
        post(client, "seed", data=SEED)
        post(client, "snapshots/before/restore")
        assert state(storage) == before
        post(client, "snapshots/before/restore")
        now = set(storage.engine.fetch("SELECT id FROM bounce_list"))
        assert not identifiers & now
        identifiers |= now


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/apiv2/customer.bounces.json?api_user=acme&api_key=s3cret&user=victim", {}),
        (
            "/v3/suppression/bounces/a@x",
            {
                "Accept": "application/json",
                "Authorization": "Bearer s3cret",
                "on-behalf-of": "victim",
            },
        ),
    ],
    ids=["v2", "v3"],
)
def test_restore_during_a_call_gives_a_reseller_no_other_customers(
    client, storage, monkeypatch, path: str, headers: dict
) -> None:
    """Another reseller gets the identifier of the one that calls."""
    assert post(client, "reset?to=empty").status_code == 200
    victim = storage.accounts.add("victim", storage.accounts.add("other"))
    storage.bounces.put(victim.bounce_list, [bounce("a@x")])
    storage.snapshots.take("one", NOW)
    assert post(client, "reset?to=empty").status_code == 200
    assert post(client, "seed", data=SEED).status_code == 200
    is_v3 = bool(headers)
    name = "authenticate_key" if is_v3 else "authenticate"
    authenticate = getattr(Authenticator, name)

    def restore_meanwhile(*arguments) -> Account:
        found = authenticate(*arguments)
        storage.snapshots.restore("one")
        return found

    monkeypatch.setattr(Authenticator, name, restore_meanwhile)
    answer = client.open(
        path if is_v3 else f"{path}&task=delete&email=a@x",
        method="DELETE" if is_v3 else "GET",
        headers=headers,
    )
    restored = storage.accounts.get("victim").bounce_list
    assert storage.bounces.count(restored, BounceQuery()) == 1, answer.text


def test_snapshot_can_be_replaced(client, storage) -> None:
    """A smaller snapshot leaves no chunk of its predecessor."""
    take(client)
    post(client, "reset?to=empty")
    storage.accounts.add("other")
    before = state(storage)

    assert take(client).json["accounts"] == 1
    post(client, "seed", data=SEED)
    post(client, "snapshots/before/restore")
    assert state(storage) == before


def test_snapshots_are_listed_and_removed(client, storage) -> None:
    """They are sorted by name; removal deletes the chunks."""
    take(client, "b.2")
    storage.accounts.add("other")
    take(client, "a_1-")

    listed = client.get("/_emulator/snapshots").json["snapshots"]
    assert [(each["name"], each["accounts"]) for each in listed] == [
        ("a_1-", 4),
        ("b.2", 3),
    ]
    for name in ("a_1-", "b.2"):
        answer = client.delete(f"/_emulator/snapshots/{name}")
        assert (answer.status_code, answer.json) == (200, {"removed": name})
    assert client.get("/_emulator/snapshots").json == {"snapshots": []}
    assert storage.engine.fetch("SELECT COUNT(*) FROM snapshot_chunk") == [(0,)]


@pytest.mark.parametrize("name", ["a b", "ä", "%2F", "a%00", "x" * 65, "...", "a%0A"])
def test_invalid_names_are_rejected(client, name: str) -> None:
    """No snapshot is taken."""
    answer = take(client, name)

    assert answer.status_code in (400, 404)
    assert next(iter(answer.json)) == "error"
    assert client.get("/_emulator/snapshots").json == {"snapshots": []}


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "snapshots/nothing/restore", 404),
        ("DELETE", "snapshots/nothing", 404),
        ("GET", "snapshots/before", 405),
        ("POST", "snapshots/before", 405),
        ("GET", "snapshots/before/restore", 405),
        ("POST", "snapshots", 405),
        ("PUT", "snapshots/before?x=1", 400),
        ("POST", "snapshots/before/restore?x=1", 400),
        ("DELETE", "snapshots/before?x=1", 400),
        ("GET", "snapshots?x=1", 400),
    ],
)
def test_invalid_calls_are_rejected(client, storage, method, target, status) -> None:
    """The response contains an error message; the state is unchanged."""
    take(client)
    disturb(storage)
    before = state(storage), storage.snapshots.all()
    answer = client.open(f"/_emulator/{target}", method=method)

    assert (answer.status_code, next(iter(answer.json))) == (status, "error")
    assert (state(storage), storage.snapshots.all()) == before


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "snapshots/before"),
        ("POST", "snapshots/before/restore"),
        ("DELETE", "snapshots/before"),
    ],
)
def test_body_is_rejected(client, storage, method: str, target: str) -> None:
    """The client may have intended another call."""
    take(client)
    disturb(storage)
    before = state(storage), storage.snapshots.all()
    answer = client.open(f"/_emulator/{target}", method=method, data="{}")

    assert (answer.status_code, (state(storage), storage.snapshots.all())) == (
        400,
        before,
    )


def test_number_of_snapshots_is_limited(client, storage, monkeypatch) -> None:
    """Replacing a snapshot does not exceed the limit."""
    monkeypatch.setattr(snapshots, "MAX_SNAPSHOTS", 2)
    for name in ("a", "b", "a"):
        assert take(client, name).status_code == 200

    answer = take(client, "c")
    assert (answer.status_code, "remove one of them" in answer.json["error"]) == (
        409,
        True,
    )
    assert [each.name for each in storage.snapshots.all()] == ["a", "b"]


def test_failed_restore_changes_nothing(client, storage) -> None:
    """The restore is rolled back."""
    take(client)
    storage.engine.execute("UPDATE snapshot_chunk SET data = X'5B' WHERE position = 2")
    disturb(storage)
    before = state(storage)

    with pytest.raises(Exception, match="decompress"):
        storage.snapshots.restore("before")
    assert state(storage) == before


def test_long_rows_are_split_into_chunks(storage, monkeypatch) -> None:
    """Only a chunk of a single row may exceed the limit."""
    monkeypatch.setattr(snapshots, "CHUNK_BYTES", 2_000)
    acme = storage.accounts.get("acme")
    reasons = ["\U0001f600\0 " * 20_000, "", "".join(map(chr, range(32, 20_000)))]
    storage.bounces.put(
        acme.bounce_list,
        [bounce(f"long{n}@example.com", reason=r) for n, r in enumerate(reasons * 3)],
    )
    before = state(storage)
    storage.snapshots.take("long", NOW)
    storage.bounces.delete(acme.bounce_list, BounceQuery(), clock=Clock())

    storage.snapshots.restore("long")
    assert state(storage) == before
    assert storage.engine.fetch("SELECT COUNT(*) FROM snapshot_chunk")[0][0] > 6


def test_no_row_is_lost_between_chunks(storage, monkeypatch) -> None:
    """The number of rows need not be a multiple of the chunk size."""
    monkeypatch.setattr(snapshots, "CHUNK_ROWS", 3)
    for size in range(4):
        acme = storage.accounts.get("acme")
        storage.bounces.put(acme.bounce_list, [bounce(f"{size}@more.example.com")])
        before = state(storage)
        storage.snapshots.take("rows", NOW)
        storage.bounces.delete(acme.bounce_list, BounceQuery(), clock=Clock())
        storage.snapshots.restore("rows")
        assert state(storage) == before


@pytest.mark.slow
def test_memory_is_independent_of_size(storage) -> None:
    """Taking and restoring ten times the rows needs no more memory."""
    bounce_list = storage.accounts.get("plain").bounce_list
    peaks = []
    for rows in (2_000, 20_000):
        storage.bounces.put(
            bounce_list,
            (bounce(f"{n}@example.com", reason="r" * 200) for n in range(rows)),
        )
        with measured_memory() as memory:
            storage.snapshots.take("large", NOW)
            storage.snapshots.restore("large")
        peaks.append(memory.peak)
        bounce_list = storage.accounts.get("plain").bounce_list
    assert peaks[1] < peaks[0] * 1.5


@contextmanager
def moving_bounce(storage: Storage, database_url: str) -> Iterator[None]:
    """Let another connection move a bounce between two lists all the time."""
    lists = [storage.accounts.add(name).bounce_list for name in ("left", "right")]
    storage.bounces.put(lists[0], [bounce("x@example.com")])
    stopped = threading.Event()

    def move() -> None:
        with closing(open_storage(database_url)) as other:
            here, there = lists
            while not stopped.is_set():

                def move_once(here=here, there=there) -> None:
                    other.bounces.delete(here, BounceQuery(), clock=Clock())
                    other.bounces.put(there, [bounce("x@example.com")])

                other.engine.transact(move_once)
                here, there = there, here

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_snapshot_is_consistent(storage, database_url: str) -> None:
    """A bounce that another connection moves between lists never appears twice."""
    with moving_bounce(storage, database_url):
        seen = {storage.snapshots.take("moment", NOW).bounces for _ in range(60)}
    assert seen == {5}


def test_concurrent_calls_are_serialized(storage, database_url) -> None:
    """Four threads that take and restore a snapshot leave the state unchanged."""
    before = state(storage)
    storage.snapshots.take("same", NOW)
    failures: list[Exception] = []

    def work(number: int) -> None:
        with closing(open_storage(database_url)) as other:
            try:
                for _ in range(8):
                    if number % 2:
                        other.snapshots.take("same", NOW)
                    else:
                        other.snapshots.restore("same")
            except Exception as error:  # noqa: BLE001 - reported below
                failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert state(storage) == before


def test_equal_snapshots_are_taken_at_the_same_time(database_url) -> None:
    """The database is empty, so both snapshots have the same contents."""
    with closing(open_storage(database_url)) as empty:
        empty.contents.clear(snapshots.SNAPSHOT_TABLES)
        for number in range(20):
            with ThreadPoolExecutor(8) as pool:
                taken = pool.map(
                    lambda _, n=number: empty.snapshots.take(f"{n}", NOW), range(8)
                )
                assert {snapshot.bounces for snapshot in taken} == {0}


def test_unknown_snapshots_are_rejected(storage) -> None:
    """The error contains the name."""
    for action in (storage.snapshots.restore, storage.snapshots.remove):
        with pytest.raises(UnknownNameError, match="snapshot 'x'"):
            action("x")
    assert not issubclass(UnknownNameError, ConflictError)


def test_seeds_of_the_cases_are_restored(database_url: str, clock: FixedClock) -> None:
    """They contain accounts of every kind."""
    app = make_app(database_url, clock, SEED=SEEDS)
    with closing(app.extensions[EXTENSION].storage) as storage:
        before = state(storage)
        storage.snapshots.take("cases", NOW)
        storage.contents.clear(snapshots.SNAPSHOT_TABLES)
        storage.snapshots.restore("cases")
        assert state(storage) == before
