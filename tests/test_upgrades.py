"""Schema versions: what an earlier release made is opened, and brought up to date."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import FixedClock, make_app

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage import database
from sendgrid_bounces.storage.database import SCHEMA_VERSION, open_storage

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_database_of_every_release_answers(version: int, tmp_path: Path) -> None:
    """The file was made by that release, from the cases' seed for Mailgun."""
    path = tmp_path / "b.sqlite3"
    shutil.copy(DATA / f"schema-{version}.sqlite3", path)
    app = make_app(f"sqlite:///{path}", FixedClock())
    credentials = "api_user=mailgun&api_key=key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
    answer = app.test_client().get(f"/api/bounces.get.json?{credentials}&date=1")
    storage = app.extensions[EXTENSION].storage
    stored = storage.engine.fetch("SELECT schema_version FROM about")
    storage.close()

    assert [row["email"] for row in json.loads(answer.data)] == ["own@example.com"]
    assert stored == [(SCHEMA_VERSION,)]


@pytest.fixture(name="upgrades")
def _upgrades(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict]:
    """Pretend that this release is newer than the database by a version."""
    open_storage(database_url).close()
    upgrades: dict = {}
    with monkeypatch.context() as newer:
        newer.setattr(database, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
        newer.setattr(database, "UPGRADES", upgrades)
        yield upgrades
        upgrades[SCHEMA_VERSION] = lambda engine: None
        with closing(open_storage(database_url)) as storage:
            storage.engine.change(f"UPDATE about SET schema_version = {SCHEMA_VERSION}")


def _state(database_url: str) -> tuple[list, list]:
    """Return the lists that are there, and the version; open it first."""
    with closing(open_storage(database_url)) as storage:
        return (
            storage.engine.fetch("SELECT id FROM bounce_list"),
            storage.engine.fetch("SELECT schema_version FROM about"),
        )


def test_an_older_one_is_upgraded_once(database_url: str, upgrades: dict) -> None:
    """And then it has the version of today."""
    upgrades[SCHEMA_VERSION] = lambda engine: engine.change(
        "INSERT INTO bounce_list (id) VALUES (77)"
    )

    for _ in range(2):
        assert _state(database_url) == ([(77,)], [(SCHEMA_VERSION + 1,)])


def test_an_upgrade_that_fails_changes_nothing(
    database_url: str, upgrades: dict
) -> None:
    """It can be tried again."""

    def fail(engine) -> None:
        engine.change("INSERT INTO bounce_list (id) VALUES (77)")
        engine.change("INSERT INTO nowhere VALUES (1)")

    upgrades[SCHEMA_VERSION] = fail
    with pytest.raises(StorageError, match="nowhere"):
        open_storage(database_url)
    upgrades[SCHEMA_VERSION] = lambda engine: None

    assert _state(database_url) == ([], [(SCHEMA_VERSION + 1,)])
