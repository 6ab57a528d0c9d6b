"""Shared fixtures: databases, and an application with a fixed clock."""

import os
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mysql
import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from jinja2.bccache import Bucket, BytecodeCache
from selection import LeftOut
from werkzeug.routing import Rule

from sendgrid_bounces import auth
from sendgrid_bounces.app import DIALECTS, create_app
from sendgrid_bounces.cli import confirmation, main
from sendgrid_bounces.config import VARIABLE_PREFIX
from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.core.times import parse_instant
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage import sql
from sendgrid_bounces.storage.database import Storage, open_storage
from sendgrid_bounces.web.dialect import Dialect

#: A hash that is quick to compute: no test is about its strength.
QUICK_HASH = "scrypt:128:8:1"
QUICK_COSTS = (128, 8, 1)

# The developer's settings must not change the tests.
for name in list(os.environ):
    if name.startswith(VARIABLE_PREFIX) and not name.startswith(
        f"{VARIABLE_PREFIX}TEST_"
    ):
        del os.environ[name]
os.environ[f"{VARIABLE_PREFIX}KEY_HASH"] = QUICK_HASH
auth.TAG_COSTS = QUICK_COSTS

# A busy machine is no failure.
settings.register_profile(
    "tests",
    settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")

# Each application parses its routes, which takes most of the time of create_app(). The
# result depends on the rule only, and equal rules of later applications share it.
_compile = Rule.compile
_compiled: dict[object, Rule] = {}


def _compile_once(rule: Rule) -> None:
    converters = tuple(rule.map.converters.items())
    key = (type(rule), rule.rule, rule.merge_slashes, repr(rule.defaults), converters)
    first = _compiled.setdefault(key, rule)
    if first is rule:
        _compile(rule)
        return
    rule._parts, rule._trace = first._parts, first._trace
    rule._converters, rule.arguments = first._converters, first.arguments
    for name, append_unknown in (("_build", False), ("_build_unknown", True)):
        setattr(rule, name, rule._compile_builder(append_unknown).__get__(rule, None))


Rule.compile = _compile_once


# So is the text of the statements that create the tables.
_create_statements = sql.create_statements
_statements: dict[object, tuple[str, list[str]]] = {}


def _create_statements_once(table: type, builder: object) -> tuple[str, list[str]]:
    key = table, type(builder)
    if key not in _statements:
        _statements[key] = _create_statements(table, builder)
    return _statements[key]


sql.create_statements = _create_statements_once


class _TemplateCache(BytecodeCache):
    """Compiled templates of all applications of the process."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._compiled:
            bucket.bytecode_from_string(self._compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


Flask.jinja_options = {"bytecode_cache": _TemplateCache()}

#: Each test that uses the fixture `engine` runs on both database products.
ENGINES = ["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)]

CASES = Path(__file__).parent / "cases"

#: The seed files of the cases, in the form of the setting.
SEEDS = os.pathsep.join(str(seed) for seed in sorted(CASES.glob("*/seed.yaml")))

#: The operations of each dialect.
OPERATIONS = {dialect.name: dialect.operations for dialect in DIALECTS}

NOW = parse_instant("2012-02-15 12:00:00")


class FixedClock(Clock):
    """A clock that shows the instant that a test sets."""

    def __init__(self) -> None:
        self.instant = NOW

    def now(self) -> int:
        return self.instant


def bounce(email: str = "a@example.com", **fields) -> Bounce:
    """Return a bounce with default values for the other fields."""
    defaults = {"status": "5.1.1", "code": "550", "reason": "", "created": NOW}
    return Bounce(email, **{**defaults, **fields})


def logged_request(**fields) -> LoggedRequest:
    """Return an entry of the request log with default values for the other fields."""
    defaults = {
        "id": 0,
        "received": NOW * 1_000 + 7,
        "emulated_time": NOW,
        "duration_ms": 0.25,
        "dialect": "sendgrid.direct",
        "operation": "get",
        "account": "acme",
        "domain": None,
        "method": "GET",
        "path": "/api/bounces.get.json",
        "parameters": {"email": ["a@x", "\U0001f600@x"]},
        "user_agent": None,
        "status": 200,
        "rows": None,
        "fault": None,
        "response_bytes": 2,
        "response": "[]",
    }
    return LoggedRequest(**{**defaults, **fields})


def pytest_configure(config: pytest.Config) -> None:
    """Report the tests that the default marker expression leaves out."""
    config.pluginmanager.register(LeftOut(), "left-out")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Use one process for single files, and with ``-s``."""
    is_one_file = any(".py" in argument for argument in config.args)
    return 0 if is_one_file or config.option.capture == "no" else None


@pytest.fixture(name="clock")
def _clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(name="url")
def _url(tmp_path: Path) -> str:
    """The URL of a database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'bounces.sqlite3'}?synchronous=off"


@pytest.fixture(name="engine", params=ENGINES)
def _engine(request: pytest.FixtureRequest) -> str:
    """The database product: the test runs on each."""
    return request.param


@pytest.fixture(name="database_url")
def _database_url(engine: str, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    if engine == "sqlite":
        return request.getfixturevalue("url")
    url = request.getfixturevalue("mysql_url")
    mysql.clear(url)
    return url


@pytest.fixture(name="empty", scope="session")
def _empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file without accounts, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "bounces.sqlite3"
    open_storage(f"sqlite:///{path}").close()
    return path


@pytest.fixture(name="storage")
def _storage(
    engine: str, database_url: str, tmp_path: Path, empty: Path
) -> Iterator[Storage]:
    """An empty database."""
    if engine == "sqlite":
        copy_database(empty, tmp_path)
    storage = open_storage(database_url)
    yield storage
    storage.close()


def leftovers(storage: Storage) -> tuple[int, int]:
    """Count the lists without a name, except one, and the bounces on such lists."""
    unnamed = (
        "id NOT IN (SELECT bounce_list_id FROM account) "
        "AND id NOT IN (SELECT bounce_list_id FROM domain)"
    )
    lists = storage.engine.fetch(f"SELECT id FROM bounce_list WHERE {unnamed}")
    bounces = storage.engine.fetch(
        "SELECT id FROM bounce WHERE bounce_list_id IN "
        f"(SELECT id FROM bounce_list WHERE {unnamed})"
    )
    return max(len(lists) - 1, 0), len(bounces)


@pytest.fixture(name="mysql_url", scope="session")
def _mysql_url() -> Iterator[str]:
    """The URL of a MySQL database of this process."""
    with mysql.database() as url:
        open_storage(url).close()
        yield url


@pytest.fixture(name="seeded_mysql_url", scope="session")
def _seeded_mysql_url() -> Iterator[str]:
    """The URL of a MySQL database with the seeds of the cases, to be copied."""
    with mysql.database() as url:
        app = make_app(url, FixedClock(), SEED=SEEDS)
        app.extensions[EXTENSION].storage.close()
        yield url


@pytest.fixture(name="bounce_list")
def _bounce_list(storage: Storage) -> int:
    """An empty list; the database also has the list of another account."""
    other = storage.accounts.add("other")
    storage.bounces.put(other.bounce_list, [bounce("a@example.com")])
    return storage.accounts.add("acme").bounce_list


@pytest.fixture(name="seeded", scope="session")
def _seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the seeds of the cases, to be copied."""
    path = tmp_path_factory.mktemp("seeded") / "bounces.sqlite3"
    app = make_app(f"sqlite:///{path}", FixedClock(), SEED=SEEDS)
    app.extensions[EXTENSION].storage.close()
    return path


@pytest.fixture(name="app")
def _app(
    engine: str, clock: FixedClock, request: pytest.FixtureRequest
) -> Iterator[Flask]:
    """An application with the seeds of the cases."""
    if engine == "mysql":
        url = request.getfixturevalue("mysql_url")
        mysql.copy(request.getfixturevalue("seeded_mysql_url"), url)
    else:
        url = request.getfixturevalue("url")
        folder = request.getfixturevalue("tmp_path")
        copy_database(request.getfixturevalue("seeded"), folder)
    app = make_app(url, clock)
    yield app
    app.extensions[EXTENSION].storage.close()


@pytest.fixture(name="client")
def _client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(name="controlled_client")
def _controlled_client(
    url: str, clock: FixedClock, tmp_path: Path, seeded: Path
) -> Iterator[FlaskClient]:
    """A client of an application with the seeds of the cases and control endpoints."""
    copy_database(seeded, tmp_path)
    app = make_app(url, clock, CONTROL="on")
    yield app.test_client()
    app.extensions[EXTENSION].storage.close()


def copy_database(file: Path, folder: Path) -> None:
    """Copy a database to the file of the fixture ``url``."""
    shutil.copy(file, folder / "bounces.sqlite3")


def make_app(
    url: str,
    clock: Clock,
    dialects: tuple[Dialect, ...] = DIALECTS,
    **config: str,
) -> Flask:
    """Return an application whose unexpected exceptions fail the test."""
    settings = {"DATABASE_URL": url, "KEY_HASH": QUICK_HASH, **config}
    app = create_app(settings, clock, dialects=dialects)
    app.testing = True
    return app


@pytest.fixture(name="run")
def _run(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty: Path
) -> Callable[..., Result]:
    """A function that runs a command on an empty database."""
    copy_database(empty, tmp_path)
    monkeypatch.setenv("SENDGRID_BOUNCES_DATABASE_URL", url)
    monkeypatch.setenv("SENDGRID_BOUNCES_KEY_HASH", QUICK_HASH)

    def run(*args: str, stdin: str | None = None, code: int = 0) -> Result:
        result = CliRunner().invoke(main, args, input=stdin)
        assert code == result.exit_code, result.output
        if code:
            assert result.stderr.count("\n") == 1, result.stderr
            assert result.stderr.startswith("Error: ")
        return result

    return run


@pytest.fixture(name="acme")
def _acme(run: Callable[..., Result]) -> Callable[..., Result]:
    """A function that runs a command on a database with the account acme."""
    run("account", "add", "acme", stdin="s3cret\n")
    return run


@pytest.fixture(name="terminal")
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands ask questions, as at a terminal."""
    monkeypatch.setattr(confirmation, "is_interactive", lambda: True)


@pytest.fixture(name="decline")
def _decline(terminal: None) -> Callable[..., Result]:
    """A function that runs a command and answers its question with no."""

    def decline(*args: str, answer: str = "n\n") -> Result:
        result = CliRunner().invoke(main, args, input=answer)
        assert result.exit_code == 1, result.output
        assert result.stderr == "Nothing was changed.\n"
        return result

    return decline


@dataclass
class Memory:
    """The memory that a block allocated at the same time, in bytes."""

    peak: int = 0


@contextmanager
def measured_memory() -> Iterator[Memory]:
    """Measure the memory that the block allocates."""
    memory = Memory()
    tracemalloc.start()
    try:
        yield memory
        _, memory.peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
