"""What the tests share: an application on a database of its own, at a fixed time."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from sendgrid_bounces.app import create_app
from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.clock import Clock, WallClock
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage.database import Storage, open_storage

CASES = Path(__file__).parent / "cases"

#: A hash that is quick to make: no test is about its slowness.
QUICK_HASH = "scrypt:128:8:1"

NOW = WallClock().parse("2012-02-15 12:00:00")


class FixedClock(Clock):
    """A clock that stands where a test puts it."""

    def __init__(self) -> None:
        self.instant = NOW

    def now(self) -> int:
        return self.instant


def bounce(email: str = "a@example.com", **facts) -> Bounce:
    """Return a bounce of which the test says only what it is about."""
    known = {"status": "5.1.1", "code": "550", "reason": "", "created": NOW}
    return Bounce(email, **{**known, **facts})


@pytest.fixture(name="clock")
def _clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(name="url")
def _url(tmp_path: Path) -> str:
    """The URL of a database that is not there yet."""
    return f"sqlite:///{tmp_path / 'bounces.sqlite3'}?synchronous=off"


@pytest.fixture(name="storage")
def _storage(url: str) -> Iterator[Storage]:
    storage = open_storage(url)
    yield storage
    storage.close()


@pytest.fixture(name="bounce_list")
def _bounce_list(storage: Storage) -> int:
    """An empty list, beside another one that must never be touched."""
    other = storage.accounts.add("other")
    storage.bounces.put(other.bounce_list, [bounce("a@example.com")])
    return storage.accounts.add("acme").bounce_list


@pytest.fixture(name="seeded", scope="session")
def _seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that holds the cases' seeds; to be copied."""
    path = tmp_path_factory.mktemp("seeded") / "bounces.sqlite3"
    seeds = os.pathsep.join(str(seed) for seed in sorted(CASES.glob("*/seed.yaml")))
    app = make_app(f"sqlite:///{path}", FixedClock(), SEED=seeds)
    app.extensions[EXTENSION].storage.close()
    return path


@pytest.fixture(name="app")
def _app(seeded: Path, url: str, tmp_path: Path, clock: FixedClock) -> Iterator[Flask]:
    """An application with the cases' seeds."""
    shutil.copy(seeded, tmp_path / "bounces.sqlite3")
    app = make_app(url, clock)
    yield app
    app.extensions[EXTENSION].storage.close()


@pytest.fixture(name="client")
def _client(app: Flask) -> FlaskClient:
    return app.test_client()


def make_app(url: str, clock: Clock, **config: str) -> Flask:
    """Return an application whose mistakes fail the test that makes them."""
    app = create_app({"DATABASE_URL": url, "KEY_HASH": QUICK_HASH, **config}, clock)
    app.testing = True
    return app
