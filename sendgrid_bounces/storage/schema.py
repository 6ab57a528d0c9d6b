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
    """Replace the request log, whose entries lack most fields of the new one.

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


def prepare(engine: Engine, *, create: bool) -> str:
    """Bring the schema up to date and return the salt for key tags.

    :param create: whether to create missing tables.
    :raises AbsentError: if the tables are missing and must not be created.
    :raises StorageError: if a newer version of the package created the database.
    """
    # Opening an up-to-date database must not wait for a writer.
    about = _read_about(engine) if create or engine.exists() else None
    if about is None and not create:
        raise AbsentError(f"there is no {engine} yet")
    if about is None:
        engine.create_tables(TABLES, lambda: _write_about(engine))
        about = _read_about(engine)
    if about is None:
        raise StorageError(f"{engine} is incomplete")
    version, key_salt = about
    if version < SCHEMA_VERSION:
        engine.transact(lambda: _upgrade(engine))
    elif version > SCHEMA_VERSION:
        raise engine.newer_schema(version)
    engine.has_schema = True
    return key_salt


def _upgrade(engine: Engine) -> None:
    """Upgrade the schema, unless another process just did."""
    about = _read_about(engine)
    if about is not None and about[0] < SCHEMA_VERSION:
        for version in range(about[0], SCHEMA_VERSION):
            UPGRADES[version](engine)
        engine.execute_query(AboutRow.update(schema_version=SCHEMA_VERSION))


def _read_about(engine: Engine) -> tuple[int, str] | None:
    """Return the schema version and the salt; None for a database without tables."""
    if not engine.has_table(AboutRow):
        return None
    columns = (AboutRow.schema_version, AboutRow.key_salt)
    for version, key_salt in engine.fetch_query(AboutRow.select(*columns)):
        return int(version), str(key_salt)
    return None


def _write_about(engine: Engine) -> None:
    if _read_about(engine) is None:
        key_salt = secrets.token_hex(16)
        engine.insert(AboutRow, schema_version=SCHEMA_VERSION, key_salt=key_salt)
