"""Schema versions: databases of earlier releases are upgraded when opened."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import mysql
import pytest
from conftest import NOW, FixedClock, bounce, make_app

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.faults import FaultRule, StoredFault
from sendgrid_bounces.core.sources import ReceivedBounce
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage import schema
from sendgrid_bounces.storage.database import Storage, open_storage
from sendgrid_bounces.storage.tables import SCHEMA_VERSION, TABLES

DATA = Path(__file__).parent / "data"


@pytest.fixture(name="version", params=range(1, SCHEMA_VERSION + 1))
def _version(request: pytest.FixtureRequest) -> int:
    """Each schema version."""
    return request.param


@pytest.fixture(name="released")
def _released(engine: str, version: int, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that the release with the schema *version* created.

    It was created from the Mailgun seed of the cases; those of MariaDB, and those of
    version 5 and later, have a fault rule.
    """
    name = f"schema-{version}"
    if engine == "sqlite":
        shutil.copy(DATA / f"{name}.sqlite3", tmp_path / "b.sqlite3")
        yield f"sqlite:///{tmp_path / 'b.sqlite3'}"
        return
    with mysql.database() as url:
        mysql.load(DATA / f"{name}.sql", url)
        yield url


def test_database_of_each_release_is_usable(released: str) -> None:
    """The rows are unchanged, and the stored version is the current one."""
    app = make_app(released, FixedClock())
    credentials = "api_user=mailgun&api_key=key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
    answer = app.test_client().get(f"/api/bounces.get.json?{credentials}&date=1")
    storage = app.extensions[EXTENSION].storage
    stored = storage.engine.fetch("SELECT schema_version FROM about")
    storage.close()

    assert [row["email"] for row in json.loads(answer.data)] == ["own@example.com"]
    assert stored == [(SCHEMA_VERSION,)]


def test_upgraded_database_has_new_features(released: str) -> None:
    """Fault rules and the request log work as in a new database."""
    app = make_app(released, FixedClock(), CONTROL="on")
    client = app.test_client()
    client.delete("/_emulator/faults")
    client.post("/_emulator/faults", json={"status": 503})

    assert client.get("/api/bounces.get.json").status_code == 503
    (entry,) = client.get("/_emulator/requests").json["requests"]
    (fault,) = client.get("/_emulator/faults").json["faults"]
    assert (entry["status"], entry["fault"]) == (503, fault["id"])
    app.extensions[EXTENSION].storage.close()


def test_upgraded_database_keeps_events(released: str, version: int) -> None:
    """The database of version 3 or later has the event already."""
    with closing(open_storage(released)) as storage:
        bounce_list = storage.accounts.get("mailgun").bounce_list
        received = ReceivedBounce(bounce("gone@example.com"), "mailgun t1")
        listed = storage.sources.receive(bounce_list, [received], (), NOW)
        names = [source.name for source in storage.sources.all()]

    is_kept = version >= 3
    assert (listed, names) == ([not is_kept], ["hook"] * is_kept)


def test_upgrade_keeps_fault_rules(released: str, version: int) -> None:
    """Each keeps its counters; a new rule never gets the identifier of an old one."""
    engine = released.partition(":")[0]
    rule = {"status": 503, "times": 3}
    if engine == "sqlite" and version in (2, 3, 4):
        path = released.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as connection:
            row = (5, json.dumps(rule))
            connection.execute("INSERT INTO fault VALUES (?, ?, NULL, 1, 1, 0, 0)", row)
            connection.commit()
    with closing(open_storage(released)) as storage:
        kept = storage.faults.all()
        storage.faults.clear()
        (new,) = storage.faults.add([FaultRule(status=500)])

    if version == 1:
        assert kept == []
    else:
        assert kept == [StoredFault(5, FaultRule(**rule), 1, 1)]
        assert new > 5


def test_upgraded_schema_equals_a_new_one(
    released: str, engine: str, tmp_path: Path
) -> None:
    """A change of the schema needs a new version and an upgrade."""
    with ExitStack() as stack:
        if engine == "sqlite":
            url = f"sqlite:///{tmp_path / 'new.sqlite3'}"
        else:
            url = stack.enter_context(mysql.database())
        new = stack.enter_context(closing(open_storage(url)))
        upgraded = stack.enter_context(closing(open_storage(released)))
        assert _tables(new) == _tables(upgraded)


@pytest.fixture(name="upgrades")
def _upgrades(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict]:
    """The upgrades of a simulated release with the next schema version."""
    open_storage(database_url).close()
    upgrades: dict = {}
    with monkeypatch.context() as newer:
        newer.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
        newer.setattr(schema, "UPGRADES", upgrades)
        yield upgrades
        upgrades[SCHEMA_VERSION] = lambda engine: None
        with closing(open_storage(database_url)) as storage:
            storage.engine.execute(
                f"UPDATE about SET schema_version = {SCHEMA_VERSION}"
            )


def _state(database_url: str) -> tuple[list, list]:
    """Open the database; return its lists and its schema version."""
    with closing(open_storage(database_url)) as storage:
        return (
            storage.engine.fetch("SELECT id FROM bounce_list"),
            storage.engine.fetch("SELECT schema_version FROM about"),
        )


def test_older_database_is_upgraded_once(database_url: str, upgrades: dict) -> None:
    """The upgrade also stores the new version."""
    upgrades[SCHEMA_VERSION] = lambda engine: engine.execute(
        "INSERT INTO bounce_list (id) VALUES (77)"
    )

    for _ in range(2):
        assert _state(database_url) == ([(77,)], [(SCHEMA_VERSION + 1,)])


def test_failed_upgrade_changes_nothing(database_url: str, upgrades: dict) -> None:
    """The next attempt begins afresh."""

    def fail(engine) -> None:
        engine.execute("INSERT INTO bounce_list (id) VALUES (77)")
        engine.execute("INSERT INTO nowhere VALUES (1)")

    upgrades[SCHEMA_VERSION] = fail
    with pytest.raises(StorageError, match="nowhere"):
        open_storage(database_url)
    upgrades[SCHEMA_VERSION] = lambda engine: None

    assert _state(database_url) == ([], [(SCHEMA_VERSION + 1,)])


#: The tables of version 1.
FIRST = {"about", "account", "bounce", "bounce_list", "domain"}


#: Queries for the names of all tables, and for the columns or the DDL of a table.
TABLE_NAMES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
    "mysql": "SELECT table_name FROM information_schema.tables "
    "WHERE table_schema = DATABASE() ORDER BY 1",
}
TABLE_COLUMNS = {
    "sqlite": "SELECT sql FROM sqlite_master WHERE tbl_name = ? ORDER BY sql",
    "mysql": "SELECT column_name, column_type, collation_name, column_key, engine "
    "FROM information_schema.columns JOIN information_schema.tables "
    "USING (table_schema, table_name) "
    "WHERE table_schema = DATABASE() AND table_name = %s ORDER BY 1",
}


def _tables(storage: Storage) -> dict:
    """Return the tables by name, with their columns."""
    engine = storage.engine
    names = [name for (name,) in engine.fetch(TABLE_NAMES[engine.name])]
    return {name: engine.fetch(TABLE_COLUMNS[engine.name], (name,)) for name in names}


@pytest.mark.mysql
@pytest.mark.parametrize("stopped", [0, 1, 2])
def test_interrupted_upgrade_is_completed(mysql_url: str, stopped: int) -> None:
    """Statements that create tables take effect at once on MariaDB."""
    mysql.clear(mysql_url)
    with closing(open_storage(mysql_url)) as storage:
        expected = _tables(storage)
        storage.accounts.add("kept")
        later = [table for table in TABLES if table._meta.table_name not in FIRST]
        for table in reversed(later[stopped:]):
            storage.engine.execute(f"DROP TABLE {table._meta.table_name}")
        storage.engine.execute("UPDATE about SET schema_version = 1")

    with closing(open_storage(mysql_url)) as storage:
        assert _tables(storage) == expected
        assert storage.accounts.get("kept")
        assert storage.snapshots.take("all", 0).accounts == 1
