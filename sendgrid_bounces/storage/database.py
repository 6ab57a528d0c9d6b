"""Opening a database: URL, schema and its version."""

import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.storage.accounts import AccountStore
from sendgrid_bounces.storage.bounces import BounceStore
from sendgrid_bounces.storage.engines import ENGINES, SQLiteEngine
from sendgrid_bounces.storage.models import SCHEMA_VERSION, TABLES, AboutRow


@dataclass(frozen=True, slots=True)
class Storage:
    """An open database and the stores in it."""

    engine: SQLiteEngine
    key_salt: str
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
        key_salt = _prepare(engine)
    except StorageError:
        engine.close()
        raise
    return Storage(engine, key_salt, AccountStore(engine), BounceStore(engine))


def _prepare(engine: SQLiteEngine) -> str:
    """Make what is not there yet, check what is, and return the salt for tags."""
    if not engine.has_table(AboutRow):  # what is there opens while somebody writes
        with engine.transaction():
            engine.create_tables(TABLES)
            if not engine.select(AboutRow.select(AboutRow.schema_version)):
                engine.insert(
                    AboutRow,
                    schema_version=SCHEMA_VERSION,
                    key_salt=secrets.token_hex(16),
                )
    columns = (AboutRow.schema_version, AboutRow.key_salt)
    ((version, key_salt),) = engine.select(AboutRow.select(*columns))
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{engine.name} database {engine.location}: made by a newer version "
            f"of sendgrid-bounces (schema {version}, known: {SCHEMA_VERSION})"
        )
    return str(key_salt)
