"""Snapshots: the whole state under a name, taken and restored as one act."""

import json
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing

import pytest
from conftest import NOW, SEEDS, FixedClock, bounce, make_app
from flask.testing import FlaskClient
from test_reset import disturb, post, state

from sendgrid_bounces.core.bounces import BounceQuery
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


def test_everything_goes_back(client, storage) -> None:
    """Accounts with their keys, customers, domains, lists, the order of bounces, clock."""
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


def test_a_restore_can_be_done_again(client, storage) -> None:
    """And a snapshot outlives a reset; lists get identifiers nobody had."""
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


def test_it_can_be_replaced(client, storage) -> None:
    """By a smaller one: nothing of the old one is left."""
    take(client)
    post(client, "reset?to=empty")
    storage.accounts.add("other")
    before = state(storage)

    assert take(client).json["accounts"] == 1
    post(client, "seed", data=SEED)
    post(client, "snapshots/before/restore")
    assert state(storage) == before


def test_they_are_listed_and_removed(client, storage) -> None:
    """By name; what one held goes with it."""
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
def test_a_name_that_is_none(client, name: str) -> None:
    """Is told; nothing is taken."""
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
def test_what_is_refused_changes_nothing(
    client, storage, method, target, status
) -> None:
    """And is told in a sentence."""
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
def test_they_take_no_body(client, storage, method: str, target: str) -> None:
    """It may have been meant for another call."""
    take(client)
    disturb(storage)
    before = state(storage), storage.snapshots.all()
    answer = client.open(f"/_emulator/{target}", method=method, data="{}")

    assert (answer.status_code, (state(storage), storage.snapshots.all())) == (
        400,
        before,
    )


def test_there_is_a_bound(client, storage, monkeypatch) -> None:
    """A replacement is none more."""
    monkeypatch.setattr(snapshots, "MAX_SNAPSHOTS", 2)
    for name in ("a", "b", "a"):
        assert take(client, name).status_code == 200

    answer = take(client, "c")
    assert (answer.status_code, "remove one of them" in answer.json["error"]) == (
        409,
        True,
    )
    assert [each.name for each in storage.snapshots.all()] == ["a", "b"]


def test_a_restore_that_fails_changes_nothing(client, storage) -> None:
    """All of it is one act."""
    take(client)
    storage.engine.execute("UPDATE snapshot_chunk SET data = X'5B' WHERE position = 2")
    disturb(storage)
    before = state(storage)

    with pytest.raises(Exception, match="decompress"):
        storage.snapshots.restore("before")
    assert state(storage) == before


def test_long_reasons_are_kept(storage, monkeypatch) -> None:
    """Chunks are no larger than a server takes, whatever the rows are."""
    monkeypatch.setattr(snapshots, "CHUNK_BYTES", 2_000)
    acme = storage.accounts.get("acme")
    reasons = ["\U0001f600\0 " * 20_000, "", "".join(map(chr, range(32, 20_000)))]
    storage.bounces.put(
        acme.bounce_list,
        [bounce(f"long{n}@example.com", reason=r) for n, r in enumerate(reasons * 3)],
    )
    before = state(storage)
    storage.snapshots.take("long", NOW)
    storage.bounces.delete(acme.bounce_list, BounceQuery())

    storage.snapshots.restore("long")
    assert state(storage) == before
    assert storage.engine.fetch("SELECT COUNT(*) FROM snapshot_chunk")[0][0] > 6


def test_no_row_is_lost_between_chunks(storage, monkeypatch) -> None:
    """Whatever their number is."""
    monkeypatch.setattr(snapshots, "CHUNK_ROWS", 3)
    for size in range(4):
        acme = storage.accounts.get("acme")
        storage.bounces.put(acme.bounce_list, [bounce(f"{size}@more.example.com")])
        before = state(storage)
        storage.snapshots.take("rows", NOW)
        storage.bounces.delete(acme.bounce_list, BounceQuery())
        storage.snapshots.restore("rows")
        assert state(storage) == before


def test_memory_does_not_grow_with_it(storage) -> None:
    """Ten times the rows take no more, both ways."""
    bounce_list = storage.accounts.get("plain").bounce_list
    peaks = []
    for rows in (2_000, 20_000):
        storage.bounces.put(
            bounce_list,
            (bounce(f"{n}@example.com", reason="r" * 200) for n in range(rows)),
        )
        tracemalloc.start()
        storage.snapshots.take("large", NOW)
        storage.snapshots.restore("large")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        bounce_list = storage.accounts.get("plain").bounce_list
    assert peaks[1] < peaks[0] * 1.5


def test_a_snapshot_is_of_one_moment(storage, database_url: str) -> None:
    """While another connection moves a bounce to and fro, it is never there twice."""
    lists = [storage.accounts.add(name).bounce_list for name in ("left", "right")]
    storage.bounces.put(lists[0], [bounce("x@example.com")])
    stopped = threading.Event()

    def move() -> None:
        with closing(open_storage(database_url)) as other:
            here, there = lists
            while not stopped.is_set():

                def act(here=here, there=there) -> None:
                    other.bounces.delete(here, BounceQuery())
                    other.bounces.put(there, [bounce("x@example.com")])

                other.engine.transact(act)
                here, there = there, here

    thread = threading.Thread(target=move)
    thread.start()
    try:
        seen = {storage.snapshots.take("moment", NOW).bounces for _ in range(60)}
    finally:
        stopped.set()
        thread.join()
    assert seen == {5}


def test_takers_and_restorers_do_not_disturb_each_other(storage, database_url) -> None:
    """Each of them has its whole act; the state is that of the snapshot in the end."""
    before = state(storage)
    storage.snapshots.take("same", NOW)
    failures: list[Exception] = []

    def act(number: int) -> None:
        with closing(open_storage(database_url)) as other:
            try:
                for _ in range(8):
                    if number % 2:
                        other.snapshots.take("same", NOW)
                    else:
                        other.snapshots.restore("same")
            except Exception as error:  # noqa: BLE001 - told below
                failures.append(error)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert state(storage) == before


def test_unknown_ones_are_told(storage) -> None:
    """By name."""
    for act in (storage.snapshots.restore, storage.snapshots.remove):
        with pytest.raises(UnknownNameError, match="snapshot 'x'"):
            act("x")
    assert not issubclass(UnknownNameError, ConflictError)


def test_the_cases_seeds_survive(database_url: str, clock: FixedClock) -> None:
    """All that they hold."""
    app = make_app(database_url, clock, SEED=SEEDS)
    with closing(app.extensions[EXTENSION].storage) as storage:
        before = state(storage)
        storage.snapshots.take("cases", NOW)
        storage.contents.clear(snapshots.SNAPSHOT_TABLES)
        storage.snapshots.restore("cases")
        assert state(storage) == before
