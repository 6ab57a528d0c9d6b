"""Create the tables, check the version of the schema and upgrade it."""

import secrets
from collections.abc import Callable

from sendgrid_bounces.core.errors import AbsentError, StorageError
from sendgrid_bounces.storage import sql
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.tables import SCHEMA_VERSION, TABLES, AboutRow, FaultRow


def _create_missing_tables(engine: Engine) -> None:
    engine.create_tables(TABLES, lambda: None)


def _replace_request_log(engine: Engine) -> None:
    """Replace the request log, which lacks most fields of the new one.

    Fault rules move to a table that does not reuse identifiers.
    """
    engine.execute("DROP TABLE IF EXISTS request")
    if engine.reuses_ids:
        columns = sql.fields_of(FaultRow)
        rows = engine.fetch_query(FaultRow.select(*columns))
        engine.execute(f"DROP TABLE {sql.table_name(FaultRow)}")
        engine.create_tables([FaultRow], lambda: None)
        engine.execute_many(engine.compile(sql.insert(FaultRow, columns)), rows)
    _create_missing_tables(engine)


#: Upgrades from a version to the next. The tests hold a database of each version.
UPGRADES: dict[int, Callable[[Engine], None]] = {
    1: _create_missing_tables,
    2: _create_missing_tables,
    3: _create_missing_tables,
    4: _replace_request_log,
}


def prepare(engine: Engine, *, create: bool) -> None:
    """Bring the schema up to date.

    :param create: whether to create missing tables.
    :raises AbsentError: if the tables are missing and must not be created.
    :raises StorageError: if a newer version of the package created the database.
    """
    # Opening an up-to-date database must not wait for a writer.
    version = _read_version(engine) if create or engine.exists() else None
    if version is None and not create:
        raise AbsentError(
            f"{engine} has no tables of the emulator yet"
            if engine.exists()
            else f"there is no {engine} yet"
        )
    if version is None:
        engine.create_tables(TABLES, lambda: _write_about(engine))
        version = _read_version(engine)
    if version is None:
        raise StorageError(f"{engine} is incomplete")
    if version < SCHEMA_VERSION:
        engine.transact(lambda: _upgrade(engine))
    elif version > SCHEMA_VERSION:
        raise engine.newer_schema(version)
    engine.check_tables()
    engine.has_schema = True


def read_key_salt(engine: Engine) -> str:
    """Return the salt for key tags, which a restore changes."""
    ((key_salt,),) = engine.fetch_query(AboutRow.select(AboutRow.key_salt))
    return str(key_salt)


def _upgrade(engine: Engine) -> None:
    """Upgrade the schema, unless another process just did."""
    stored = _read_version(engine)
    if stored is not None and stored < SCHEMA_VERSION:
        for version in range(stored, SCHEMA_VERSION):
            UPGRADES[version](engine)
        engine.execute_query(AboutRow.update(schema_version=SCHEMA_VERSION))


def _read_version(engine: Engine) -> int | None:
    """Return the version of the schema; None for a database without tables.

    :raises StorageError: if it is not valid.
    """
    if not engine.has_table(AboutRow):
        return None
    rows = engine.fetch_query(AboutRow.select(AboutRow.schema_version))
    if not rows:
        return None
    version = rows[0][0]
    if len(rows) > 1 or not isinstance(version, int) or version < 1:
        raise StorageError(f"{engine} has no valid version in the table about")
    return version


def _write_about(engine: Engine) -> None:
    if _read_version(engine) is None:
        key_salt = secrets.token_hex(16)
        engine.insert(AboutRow, schema_version=SCHEMA_VERSION, key_salt=key_salt)
