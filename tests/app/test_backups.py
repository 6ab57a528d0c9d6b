"""Backups: one file for every database product, restored in one transaction."""

import errno
import os
import resource
import shutil
import sqlite3
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from unittest.mock import Mock

import mysql
import pytest
from conftest import (
    ENGINES,
    NOW,
    SEEDS,
    FixedClock,
    bounce,
    logged_request,
    make_app,
    measured_memory,
)
from flask.testing import FlaskClient
from test_reset import state
from test_snapshots import moving_bounce
from test_upgrades import DATA

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.contents import Counts
from sendgrid_bounces.core.errors import ConflictError, StorageError
from sendgrid_bounces.core.faults import FaultRule
from sendgrid_bounces.core.pulls import Pull
from sendgrid_bounces.core.requests import RequestFilter
from sendgrid_bounces.core.sources import ReceivedBounce
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage import backups
from sendgrid_bounces.storage.backups import open_backup, restore_backup, write_backup
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.storage.database import Storage, open_storage
from sendgrid_bounces.storage.sql import COUNT_ALL
from sendgrid_bounces.storage.tables import SCHEMA_VERSION

V3_KEY = "SG.v3v3v3v3v3v3v3v3v3v3v3.v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v"
MAILGUN_KEY = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"api:{key}".encode()).decode()}


ACME = "api_user=acme&api_key=s3cret"
TOKYO = "api_user=tokyo&api_key=s3cret"
SHOPS = "api_user=reseller&api_key=s3cret&user=customer&method=bounces&task=get"
LISTED = "/api/bounces.get.json?api_user=acme&api_key=k"
BEARER = {"Authorization": f"Bearer {V3_KEY}", "Accept": "*/*"}
MAILGUN = basic(MAILGUN_KEY)

#: Calls of each dialect and of the control endpoints.
CALLS: tuple[tuple[str, dict[str, str]], ...] = (
    (f"/api/bounces.get.json?{ACME}&date=1", {}),
    (f"/api/bounces.get.xml?{ACME}&date=1", {}),
    (f"/api/bounces.count.xml?{TOKYO}&days=2", {}),
    (f"/api/bounces.get.json?{TOKYO}&days=1&date=1", {}),
    (f"/api/bounces.get.json?{ACME.replace('s3cret', 'wrong')}", {}),
    (f"/apiv2/reseller.manage.json?{SHOPS}&date=1", {}),
    (f"/apiv2/reseller.manage.xml?{SHOPS}&date=1", {}),
    ("/v3/suppression/bounces", BEARER),
    ("/v3/suppression/bounces/classifications", BEARER),
    ("/v3/samples.mailgun.org/bounces?limit=2", MAILGUN),
    ("/v3/shared.example.com/bounces/own@example.com", MAILGUN),
    ("/v2/pages.example.com/bounces", MAILGUN),
    ("/v3/another.example.com/bounces", MAILGUN),
    ("/_emulator/accounts", {}),
    ("/_emulator/domains", {}),
    ("/_emulator/bounces?owner=acme&limit=2", {}),
    ("/_emulator/clock", {}),
    ("/_emulator/faults", {}),
    ("/_emulator/snapshots", {}),
    ("/_emulator/sources", {}),
)


def answers(client: FlaskClient) -> list[tuple[int, bytes]]:
    """Return the status and the body of the response to each call."""
    responses = [client.get(call, headers=headers) for call, headers in CALLS]
    return [(response.status_code, response.data) for response in responses]


@contextmanager
def a_database(engine: str, folder: Path) -> Iterator[str]:
    """Yield the URL of a new database."""
    if engine == "sqlite":
        folder.mkdir()
        yield f"sqlite:///{folder / 'bounces.sqlite3'}?synchronous=off"
        return
    with mysql.database() as url:
        yield url


@pytest.fixture(name="original")
def _original(database_url: str, clock: FixedClock) -> Iterator[FlaskClient]:
    """A client of an application with something in every table."""
    app = make_app(database_url, clock, SEED=SEEDS, CONTROL="on")
    client = app.test_client()
    client.put("/_emulator/snapshots/before")
    source = {"name": "mx", "owner": "acme", "kind": "mail", "token": "s3cret"}
    assert client.post("/_emulator/sources", json=source).status_code == 201
    client.put("/_emulator/clock", json={"action": "advance", "duration": "PT1H"})
    address = "/v3/samples.mailgun.org/bounces/ev@mgrules.com"
    assert client.delete(address, headers=MAILGUN).status_code == 200
    rules = [
        {"status": 503, "account": "nobody"},
        {"latency_ms": 1, "account": "no", "times": 3},
    ]
    client.post("/_emulator/faults", json=rules)
    storage = storage_of(client)
    received = [ReceivedBounce(bounce("new@example.com"), "event 1")]
    acme = storage.accounts.get("acme").bounce_list
    storage.sources.receive(acme, received, (), NOW)
    storage.pulls.record(Pull("acme", "sendgrid", finished=NOW, rows=3))
    yield client
    app.extensions[EXTENSION].storage.close()


def rows_of(storage: Storage) -> dict[str, int]:
    """Return the number of rows of each table that has the same in a backup."""
    return {
        table._meta.table_name: storage.engine.fetch_query(table.select(COUNT_ALL))[0][
            0
        ]
        for table in backups.RESTORED_TABLES
    }


def storage_of(client: FlaskClient) -> Storage:
    return client.application.extensions[EXTENSION].storage


@pytest.mark.parametrize("product", ENGINES)
def test_restored_database_answers_like_the_original(
    original: FlaskClient, product: str, clock: FixedClock, tmp_path: Path
) -> None:
    """Byte for byte, on each product, and in a process that knew other data before."""
    storage = storage_of(original)
    file = tmp_path / "backup"
    counts = write_backup(storage.engine, file)
    expected = answers(original)
    with a_database(product, tmp_path / "other") as url:
        app = make_app(url, clock, CONTROL="on")
        client = app.test_client()
        add_other_data(client)
        assert answers(client) != expected
        with open_backup(file) as backup:
            restore_backup(storage_of(client), backup)

        assert answers(client) == expected
        assert state(storage_of(client)) == state(storage)
        assert storage_of(client).pulls.all() == storage.pulls.all()
        assert counts == backup.counts == storage.contents.counts()
        assert rows_of(storage_of(client)) == rows_of(storage)
        assert 0 not in rows_of(storage).values()
        client.post("/_emulator/snapshots/before/restore")
        original.post("/_emulator/snapshots/before/restore")
        assert state(storage_of(client)) == state(storage)
        storage_of(client).close()


def add_other_data(client: FlaskClient) -> None:
    """Add data with the same names, and answer requests for these."""
    accounts = [
        {"username": "acme", "api_key": "wrong", "bounces": [{"email": "x@x"}]},
        {"username": "v3", "api_key": V3_KEY, "domains": [{"name": "acme"}]},
        {
            "username": "another",
            "api_key": MAILGUN_KEY,
            "domains": [{"name": "samples.mailgun.org", "list": "account"}],
        },
    ]
    source = {"name": "old", "owner": "acme", "kind": "mail", "token": "s3cret"}
    seed = {"accounts": accounts, "sources": [source]}
    assert client.post("/_emulator/seed", json=seed).status_code == 200
    client.put("/_emulator/snapshots/old")
    client.post("/_emulator/faults", json={"latency_ms": 1})
    client.put("/_emulator/clock", json={"action": "freeze"})


def test_keys_of_the_backup_are_valid_at_once(url: str, tmp_path: Path) -> None:
    """Those that the process had verified before are not."""
    keys = ("0ld", "n3w")
    clients = []
    for number, key in enumerate(keys):
        own = url.replace("bounces", f"bounces{number}")
        client = make_app(own, FixedClock(), CONTROL="on").test_client()
        seed = {"username": "acme", "api_key": key, "domains": [{"name": "d.example"}]}
        client.post("/_emulator/seed", json={"accounts": [seed]})
        clients.append(client)
    client, other = clients

    def codes() -> list[list[int]]:
        return [
            [
                client.get(call, headers=headers).status_code
                for call, headers in (
                    (f"/api/bounces.get.json?api_user=acme&api_key={key}", {}),
                    (
                        "/v3/suppression/bounces",
                        {**BEARER, "Authorization": f"Bearer {key}"},
                    ),
                    ("/v3/d.example/bounces", basic(key)),
                    ("/v3/no.example/bounces", basic(key)),
                )
            ]
            for key in keys
        ]

    valid, wrong = [200, 200, 200, 404], [403, 401, 401, 401]
    assert codes() == [valid, wrong]
    write_backup(storage_of(other).engine, tmp_path / "backup")
    write_backup(storage_of(client).engine, tmp_path / "first")
    for name, expected in (("backup", [wrong, valid]), ("first", [valid, wrong])):
        with open_backup(tmp_path / name) as backup:
            restore_backup(storage_of(client), backup)
        assert codes() == expected
    for each in clients:
        storage_of(each).close()


def test_fault_rules_of_the_backup_apply_at_once(
    original: FlaskClient, tmp_path: Path
) -> None:
    """Each process keeps the rules that it knows until their version changes."""
    storage = storage_of(original)
    call = f"/api/bounces.count.json?{ACME}"
    write_backup(storage.engine, tmp_path / "200")
    storage.faults.add([FaultRule(status=503)])
    write_backup(storage.engine, tmp_path / "503")
    storage.faults.clear()
    assert original.get(call).status_code == 200
    for status in (503, 200, 503):
        with open_backup(tmp_path / str(status)) as backup:
            restore_backup(storage, backup)
        assert original.get(call).status_code == status


def test_list_of_a_domain_that_moved_to_another_account_is_replaced(
    storage: Storage, tmp_path: Path
) -> None:
    """A running request of the first account must not meet the other's bounces."""
    alice, bob = storage.accounts.add("alice"), storage.accounts.add("bob")
    storage.accounts.add_domain("moved.example", bob)
    kept = storage.accounts.add_domain("kept.example", bob).bounce_list
    write_backup(storage.engine, tmp_path / "backup")
    storage.accounts.remove_domain("moved.example")
    moved = storage.accounts.add_domain("moved.example", alice).bounce_list

    with open_backup(tmp_path / "backup") as backup:
        restore_backup(storage, backup)

    assert storage.accounts.find_domain("kept.example").bounce_list == kept
    assert storage.accounts.find_domain("moved.example").bounce_list != moved
    with pytest.raises(StorageError):
        storage.bounces.put(moved, [bounce()])


@pytest.mark.mysql
@pytest.mark.parametrize(("gap", "copied"), [(100, 5), (0, 2)])
def test_calls_go_on_during_a_restore(
    mysql_url: str, tmp_path, monkeypatch, gap: int, copied: int
) -> None:
    """No row replaces another one with its identifier; a fault rule can be counted."""
    monkeypatch.setattr(backups, "BATCH_ROWS", 2)
    mysql.clear(mysql_url)
    with closing(open_storage(mysql_url)) as storage:
        storage.bounces.put(storage.accounts.add("first").bounce_list, [bounce()])
        ((latest,),) = storage.engine.fetch("SELECT MAX(id) FROM bounce")
        storage.accounts.remove("first")
    rows = [bounce(f"{number}@example.com") for number in range(9)]
    with closing(open_storage(f"sqlite:///{tmp_path / 'first.sqlite3'}")) as first:
        acme = first.accounts.add("acme").bounce_list
        first.accounts.add("other")
        first.bounces.put(first.accounts.get("other").bounce_list, rows)
        first.bounces.put(acme, [bounce("late@example.com")])
        first.bounces.put(acme, [bounce("last@example.com")])
        first.engine.execute(f"UPDATE bounce SET id = id + {latest + gap + 20}")
        first.engine.execute("UPDATE bounce SET id = id - 20")
        write_backup(first.engine, tmp_path / "backup")
    with closing(open_storage(mysql_url)) as storage, ExitStack() as stack:
        bounce_list = storage.accounts.add("acme").bounce_list
        storage.faults.add([FaultRule(status=503)])
        threads = [
            threading.Thread(target=call)
            for call in (
                lambda: storage.bounces.put(bounce_list, [bounce("new@example.com")]),
                lambda: storage.bounces.put(bounce_list, [bounce("late@example.com")]),
                lambda: storage.faults.trigger(storage.faults.all(), NOW),
            )
        ]
        waiting: list[bool] = []
        stack.callback(lambda: [thread.join() for thread in threads])

        def report(done: int, _total: int) -> None:
            if done >= copied and threads[0].ident is None:  # accounts, bounces
                for thread in threads:
                    thread.start()
                    thread.join(5)
                waiting.extend(thread.is_alive() for thread in threads)

        with open_backup(tmp_path / "backup") as backup:
            restore_backup(storage, backup, report)
        assert waiting == [False, False, False]
        other = storage.accounts.get("other").bounce_list
        for found, expected in (
            (other, {row.email for row in rows}),
            (bounce_list, {f"{name}@example.com" for name in ("late", "last", "new")}),
        ):
            (batch,) = storage.bounces.find(found, BounceQuery())
            assert {as_bounce(row).email for row in batch} == expected


def test_request_log_is_kept(original: FlaskClient, tmp_path: Path) -> None:
    """A backup has none, even if another database is restored; identifiers increase."""
    storage = storage_of(original)
    with closing(open_storage(f"sqlite:///{tmp_path / 'other.sqlite3'}")) as other:
        other.requests.add(logged_request())
        write_backup(other.engine, tmp_path / "a b?c#d%")
    before = storage.requests.find(RequestFilter(), 100)
    assert before
    with open_backup(tmp_path / "a b?c#d%") as backup:
        restore_backup(storage, backup)

    assert storage.requests.find(RequestFilter(), 100) == before
    with closing(open_storage(url_of(storage))) as again:  # a new process
        assert again.requests.find(RequestFilter(), 100) == before
        assert again.requests.add(logged_request()) > before[-1].id
    with closing(sqlite3.connect(tmp_path / "a b?c#d%")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert ("logged_request",) not in tables


def url_of(storage: Storage) -> str:
    engine = storage.engine
    if engine.name == "sqlite":
        return f"sqlite:///{engine.location}"
    return f"mysql://root@{engine.location}"


def test_backup_is_consistent(storage: Storage, database_url: str, tmp_path) -> None:
    """A bounce that another connection moves between lists never appears twice.

    So the copy ends, although there is always a write.
    """
    file = tmp_path / "backup"
    with moving_bounce(storage, database_url):
        seen = {
            write_backup(storage.engine, file, replace=True).bounces for _ in range(10)
        }
    assert seen == {1}


def test_copy_is_not_restarted_by_writes(url: str, tmp_path: Path) -> None:
    """Each step of the copy continues the one before."""
    with closing(open_storage(url)) as storage:
        bounce_list = storage.accounts.add("acme").bounce_list
        rows = (bounce(f"{n}@example.com", reason="r" * 900) for n in range(9_000))
        storage.bounces.put(bounce_list, rows)
        steps: list[int] = []

        def write(done: int, _total: int) -> None:
            steps.append(done)
            assert len(steps) < 50, "the copy was restarted"
            with closing(open_storage(url)) as other:
                other.bounces.put(bounce_list, [bounce(f"new{done}@example.com")])

        counts = write_backup(storage.engine, tmp_path / "backup", write)
    assert len(steps) > 2
    assert steps == sorted(set(steps))
    assert counts.bounces == 9_000


@pytest.mark.slow
def test_requests_see_the_old_or_the_new_state(
    storage: Storage, database_url: str, tmp_path: Path, clock: FixedClock
) -> None:
    """Also those that run during the restore, and a write is never misplaced."""
    app = make_app(database_url, clock)
    authenticator = app.extensions[EXTENSION].authenticator
    expected = []
    for number in range(2):
        storage.contents.clear(backups.RESTORED_TABLES)
        if number:  # gets the list that the other account had
            storage.accounts.add("other")
        acme = storage.accounts.add("acme", **authenticator.hash_key("k"))
        rows = [bounce(f"{number}-{n}@example.com") for n in range(5)]
        storage.bounces.put(acme.bounce_list, rows)
        write_backup(storage.engine, tmp_path / str(number))
        expected.append(app.test_client().get(LISTED).data)
    seen: set[bytes] = set()
    stopped = threading.Event()

    def read() -> None:
        client = app.test_client()
        while not stopped.is_set():
            seen.add(client.get(LISTED).data)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in (0, 1) * 10:
            with open_backup(tmp_path / str(number)) as backup:
                restore_backup(storage, backup)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
        app.extensions[EXTENSION].storage.close()
    assert seen == {*expected}


def test_interrupted_restore_changes_nothing(
    original: FlaskClient, tmp_path: Path
) -> None:
    """It is a single transaction."""
    storage = storage_of(original)
    with closing(open_storage(f"sqlite:///{tmp_path / 'other.sqlite3'}")) as other:
        other.accounts.add("other")
        write_backup(other.engine, tmp_path / "backup")
    expected = answers(original)

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with (
        open_backup(tmp_path / "backup") as backup,
        pytest.raises(KeyboardInterrupt),
    ):
        restore_backup(storage, backup, interrupt)
    assert answers(original) == expected


@pytest.mark.parametrize("is_present", [False, True], ids=["new", "replaced"])
def test_interrupted_backup_leaves_nothing(
    original: FlaskClient, tmp_path: Path, is_present: bool
) -> None:
    """An earlier backup is unchanged."""
    folder = tmp_path / "backups"
    folder.mkdir()
    file = folder / "backup"
    if is_present:
        file.write_text("earlier")

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_backup(storage_of(original).engine, file, interrupt, replace=True)
    assert [path.read_text() for path in folder.iterdir()] == ["earlier"] * is_present


def test_full_disk_is_an_error(original: FlaskClient, tmp_path: Path) -> None:
    """The message names the file; an earlier backup is unchanged."""
    folder = tmp_path / "backups"
    folder.mkdir()
    file = folder / "backup"
    file.write_text("earlier")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=f"{file}: .*(I/O error|full)"):
            write_backup(storage_of(original).engine, file, replace=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.read_text() for path in folder.iterdir()] == ["earlier"]


def test_backup_is_a_private_file_that_can_be_served(
    original: FlaskClient, clock: FixedClock, tmp_path: Path
) -> None:
    """It needs no other file, and only its owner can read it."""
    umask = os.umask(0)
    try:
        folder = tmp_path / "backups"
        folder.mkdir()
        write_backup(storage_of(original).engine, folder / "backup")
    finally:
        os.umask(umask)
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("delete",)]
    app = make_app(f"sqlite:///{file}", clock, CONTROL="on")
    assert answers(app.test_client()) == answers(original)
    storage_of(app.test_client()).close()


@pytest.mark.parametrize("has_links", [True, False])
def test_file_that_is_created_meanwhile_is_not_replaced(
    storage: Storage, tmp_path: Path, monkeypatch, has_links: bool
) -> None:
    """A copy takes minutes, after which another program may have used the name."""
    file = tmp_path / "backup"
    storage.accounts.add("acme")
    if not has_links:
        error = PermissionError(errno.EPERM, "Operation not permitted")
        monkeypatch.setattr(backups.os, "link", Mock(side_effect=error))

    def create(_done: int, _total: int) -> None:
        file.write_text("precious")

    with pytest.raises(ConflictError, match="already exists"):
        write_backup(storage.engine, file, create)
    assert file.read_text() == "precious"
    file.unlink()
    assert write_backup(storage.engine, file).accounts == 1
    assert file.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.glob(".sendgrid-bounces-*")] == []


def test_existing_file_is_not_replaced(storage: Storage, tmp_path: Path) -> None:
    """Unless the caller asks for it; the database itself is never replaced."""
    file = tmp_path / "backup"
    write_backup(storage.engine, file)
    with pytest.raises(ConflictError, match="backup already exists"):
        write_backup(storage.engine, file)
    link = tmp_path / "link"
    link.symlink_to(file)
    storage.accounts.add("acme")
    assert write_backup(storage.engine, link, replace=True) == Counts(1, 0, 0)
    with open_backup(file) as backup:
        assert backup.counts == Counts(1, 0, 0)
    assert link.is_symlink()
    if storage.engine.name == "sqlite":
        for suffix in ("", "-wal", "-shm"):
            link.unlink()
            link.symlink_to(f"{storage.engine.location}{suffix}")
            with pytest.raises(ConflictError, match="belongs to the database itself"):
                write_backup(storage.engine, link, replace=True)


def test_backup_of_each_schema_version_is_restored(
    storage: Storage, tmp_path: Path
) -> None:
    """The file is unchanged; nothing is written beside it."""
    for version in range(1, SCHEMA_VERSION + 1):
        folder = tmp_path / str(version)
        folder.mkdir()
        file = folder / "a b?c#d%"
        shutil.copy(DATA / f"schema-{version}.sqlite3", file)
        content = file.read_bytes()
        with open_backup(file) as backup:
            restore_backup(storage, backup)
        assert storage.contents.counts() == Counts(2, 7, 11)
        assert [path.read_bytes() for path in folder.iterdir()] == [content]


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("exists", [True, False])
def test_backup_beside_a_log_is_refused(
    storage: Storage, tmp_path: Path, suffix: str, exists: bool
) -> None:
    """SQLite would read the log of a killed program over the new file."""
    path = tmp_path / "backup.sqlite3"
    if exists:
        write_backup(storage.engine, path)
    log = Path(f"{path}{suffix}")
    log.touch()
    with pytest.raises(ConflictError, match=f"{log} exists: backup.sqlite3 is in use"):
        write_backup(storage.engine, path, replace=True)
    log.unlink()
    write_backup(storage.engine, path, replace=True)


def test_database_in_use_is_restored_completely(url: str, tmp_path: Path) -> None:
    """Its last changes are in another file."""
    with closing(open_storage(url)) as storage, ExitStack() as stack:
        storage.accounts.add("acme")
        path = Path(storage.engine.location)
        assert Path(f"{path}-wal").stat().st_size
        backup = stack.enter_context(open_backup(path))
        assert backup.counts == Counts(1, 0, 0)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5_000])


def _overwrite(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:9_000] + b"\xff" * 9_000 + content[18_000:])


def _run(statement: str, file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA foreign_keys = 0")
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.unlink(), "No such file"),
        (lambda f: (f.unlink(), f.mkdir()), "Is a directory"),
        (lambda f: (f.unlink(), os.mkfifo(f)), "is not a regular file"),
        (lambda f: f.write_bytes(b""), "is not a backup: it lacks the tables"),
        (
            lambda f: f.write_text("x" * 5_000),
            "intact database: file is not a database",
        ),
        (_cut, "is not an intact database: .*malformed"),
        (_overwrite, "is not an intact database"),
        (lambda f: _run("DROP TABLE about", f), "is not a backup: it lacks the tables"),
        (lambda f: _run("DELETE FROM about", f), "is not a backup: it lacks"),
        (lambda f: _run("DROP TABLE bounce", f), "is damaged: it lacks the table boun"),
        (
            lambda f: _run("UPDATE about SET schema_version = 99", f),
            "needs a newer version .* is 99,",
        ),
        (
            lambda f: _run("UPDATE about SET schema_version = -1", f),
            "has no valid version",
        ),
        (
            lambda f: _run("UPDATE about SET schema_version = 'x'", f),
            "has no valid version",
        ),
        (
            lambda f: _run("INSERT INTO about SELECT * FROM about", f),
            "has no valid version",
        ),
        (
            lambda f: _run("DELETE FROM account WHERE username = 'mailgun'", f),
            "a row of the table domain refers to a missing row",
        ),
    ],
    ids=[
        *("missing", "folder", "fifo", "empty", "text", "cut", "overwritten"),
        *("no table", "no version", "one table", "newer"),
        *("negative version", "text version", "two versions", "missing row"),
    ],
)
def test_invalid_files_are_rejected(
    seeded: Path, tmp_path: Path, damage, message: str
) -> None:
    """The error names the file."""
    file = tmp_path / "backup"
    with closing(open_storage(f"sqlite:///{seeded}")) as storage:
        write_backup(storage.engine, file)
    damage(file)
    with (
        pytest.raises((StorageError, OSError), match=message) as raised,
        open_backup(file),
    ):
        pass
    assert str(file) in str(raised.value)


@pytest.mark.slow
def test_memory_is_independent_of_size(storage: Storage, tmp_path: Path) -> None:
    """Saving and restoring ten times the rows needs no more memory."""
    storage.accounts.add("acme")
    peaks = []
    for rows in (2_000, 20_000):
        bounce_list = storage.accounts.get("acme").bounce_list
        storage.bounces.put(
            bounce_list,
            (bounce(f"{n}@example.com", reason="r" * 200) for n in range(rows)),
        )
        storage.snapshots.take("before", NOW)
        with measured_memory() as memory:
            write_backup(storage.engine, tmp_path / "backup", replace=True)
            with open_backup(tmp_path / "backup") as backup:
                restore_backup(storage, backup)
        peaks.append(memory.peak)
    assert peaks[1] < peaks[0] * 1.5
