"""Opening a database: URL, schema and its version."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.storage.accounts import AccountStore
from sendgrid_bounces.storage.bounces import BounceStore
from sendgrid_bounces.storage.engines import ENGINES, SQLiteEngine
from sendgrid_bounces.storage.models import SCHEMA_VERSION, TABLES, SchemaVersionRow


@dataclass(frozen=True, slots=True)
class Storage:
    """An open database and the stores in it."""

    engine: SQLiteEngine
    accounts: AccountStore
    bounces: BounceStore

    def close(self) -> None:
        """Close the connections of all threads. Nothing may follow."""
        self.engine.close()


def open_storage(url: str) -> Storage:
    """Open the database that *url* names; make its tables if they are not there.

    :raises StorageError: if the URL is none of ours, the database does not open, or
        it was made by a newer version.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise StorageError("the database URL is no URL") from None
    if parts.scheme not in ENGINES:
        known = " or ".join(f"{scheme}://..." for scheme in ENGINES)
        raise StorageError(f"the database URL must be {known}")
    engine = ENGINES[parts.scheme](parts)
    try:
        _prepare(engine)
    except StorageError:
        engine.close()
        raise
    return Storage(engine, AccountStore(engine), BounceStore(engine))


def _prepare(engine: SQLiteEngine) -> None:
    with engine.transaction():
        engine.create_tables(TABLES)
        found = engine.select(SchemaVersionRow.select(SchemaVersionRow.version))
        if not found:
            engine.insert(SchemaVersionRow, version=SCHEMA_VERSION)
        elif found[0][0] > SCHEMA_VERSION:
            raise StorageError(
                f"{engine.name} database {engine.location}: made by a newer version "
                f"of sendgrid-bounces (schema {found[0][0]}, known: {SCHEMA_VERSION})"
            )
