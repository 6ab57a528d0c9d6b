"""Opening a database: URL, schema and its version."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from sendgrid_bounces.core.errors import AbsentError, StorageError
from sendgrid_bounces.storage.accounts import AccountStore
from sendgrid_bounces.storage.bounces import BounceStore
from sendgrid_bounces.storage.clock import ClockStore
from sendgrid_bounces.storage.contents import ContentsStore
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.faults import FaultStore
from sendgrid_bounces.storage.mysql import MySQLEngine
from sendgrid_bounces.storage.requests import RequestStore
from sendgrid_bounces.storage.snapshots import SnapshotStore
from sendgrid_bounces.storage.sqlite import SQLiteEngine
from sendgrid_bounces.storage.tables import SCHEMA_VERSION, TABLES, AboutRow

#: What brings a schema of some version to the next one. A database of each version is
#: kept in the tests.
UPGRADES: dict[int, Callable[[Engine], None]] = {1: lambda engine: _add_tables(engine)}

ENGINES: dict[str, Callable[[SplitResult], Engine]] = {
    "sqlite": SQLiteEngine,
    "mysql": MySQLEngine,
}


@dataclass(frozen=True, slots=True)
class Storage:
    """An open database and the stores in it."""

    engine: Engine
    key_salt: str
    accounts: AccountStore
    bounces: BounceStore
    clock: ClockStore
    contents: ContentsStore
    snapshots: SnapshotStore
    faults: FaultStore
    requests: RequestStore

    def check(self) -> None:
        """Read a table: a cluster's node without the others answers less than that.

        :raises StorageError: if the database does not answer, or its file was removed,
            which those who have it open do not notice.
        """
        if not self.engine.exists():
            name, location = self.engine.name, self.engine.location
            raise StorageError(f"{name} database {location} is gone")
        self.engine.select(AboutRow.select(AboutRow.schema_version))

    def close(self) -> None:
        """Close the connections of all threads. Nothing may follow."""
        self.engine.close()


@contextmanager
def closing_on_error(storage: Storage) -> Iterator[None]:
    """Close *storage* if what is done inside fails: nobody else would."""
    try:
        yield
    except BaseException:
        storage.close()
        raise


def open_storage(url: str, *, create: bool = True) -> Storage:
    """Open the database that *url* names.

    :param makes: whether its tables are made if they are not there.
    :raises AbsentError: if they are not, then.
    :raises StorageError: if the URL is none of ours, the database does not open, or
        it was made by a newer version.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise StorageError("the database URL is no URL") from None
    if parts.scheme not in ENGINES:
        known = " or ".join(f"{scheme}://..." for scheme in ENGINES)
        raise StorageError(f"the database URL must be {known} (also for MariaDB)")
    engine = ENGINES[parts.scheme](parts)
    try:
        key_salt = _prepare(engine, create=create)
    except StorageError:
        engine.close()
        raise
    return Storage(
        engine,
        key_salt,
        AccountStore(engine),
        BounceStore(engine),
        ClockStore(engine),
        ContentsStore(engine),
        SnapshotStore(engine),
        FaultStore(engine),
        RequestStore(engine),
    )


def _prepare(engine: Engine, *, create: bool) -> str:
    """Make what is not there yet, check what is, and return the salt for tags."""
    # What is there opens while somebody writes.
    about = _read_about(engine) if create or engine.exists() else None
    if about is None and not create:
        raise AbsentError(f"there is no {engine.name} database {engine.location} yet")
    if about is None:
        engine.create_tables(TABLES, lambda: _write_about(engine))
        about = _read_about(engine)
    if about is None:
        raise StorageError(f"{engine.name} database {engine.location} is incomplete")
    version, key_salt = about
    if version < SCHEMA_VERSION:
        engine.transact(lambda: _upgrade(engine))
    elif version > SCHEMA_VERSION:
        raise StorageError(
            f"{engine.name} database {engine.location}: made by a newer version "
            f"of sendgrid-bounces (schema {version}, known: {SCHEMA_VERSION})"
        )
    return key_salt


def _upgrade(engine: Engine) -> None:
    """Bring the schema to the version of today, unless somebody just has."""
    about = _read_about(engine)
    if about is not None and about[0] < SCHEMA_VERSION:
        for version in range(about[0], SCHEMA_VERSION):
            UPGRADES[version](engine)
        engine.execute(AboutRow.update(schema_version=SCHEMA_VERSION))


def _add_tables(engine: Engine) -> None:
    """Create the tables that are not there yet, whichever they are."""
    engine.create_tables(TABLES, lambda: None)


def _read_about(engine: Engine) -> tuple[int, str] | None:
    """Return (version of the schema, salt for tags); None if nothing is there yet."""
    if not engine.has_table(AboutRow):
        return None
    columns = (AboutRow.schema_version, AboutRow.key_salt)
    for version, key_salt in engine.select(AboutRow.select(*columns)):
        return int(version), str(key_salt)
    return None


def _write_about(engine: Engine) -> None:
    if _read_about(engine) is None:
        key_salt = secrets.token_hex(16)
        engine.insert(AboutRow, schema_version=SCHEMA_VERSION, key_salt=key_salt)
