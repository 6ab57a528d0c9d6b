"""MySQL databases for tests: created, emptied, copied and dropped."""

import os
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
import pytest

from sendgrid_bounces.storage.mysql import COLLATIONS
from sendgrid_bounces.storage.tables import TABLES

URL = os.environ.get(
    "SENDGRID_BOUNCES_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/test"
)


@contextmanager
def database() -> Iterator[str]:
    """Create a database with a unique name, yield its URL, and drop it."""
    name = f"sendgrid_bounces_{uuid.uuid4().hex[:12]}"
    try:
        server = connect(URL)
    except pymysql.MySQLError as error:
        assert "CI" not in os.environ, f"CI must have a MySQL server: {error}"
        pytest.skip(f"no MySQL server: SENDGRID_BOUNCES_TEST_MYSQL_URL ({error})")
    with closing(server):
        _run(server, f"CREATE DATABASE {name}")
        try:
            yield URL.rpartition("/")[0] + f"/{name}"
        finally:
            _run(server, f"DROP DATABASE {name}")


def connect(url: str) -> pymysql.Connection:
    """Connect without the code under test."""
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=parts.username,
        password=parts.password or "",
        database=parts.path[1:],
        ssl_disabled=True,
        autocommit=True,
    )


def clear(url: str) -> None:
    """Empty all tables except the last, which describes the database."""
    with closing(connect(url)) as connection:
        _run(connection, "SET FOREIGN_KEY_CHECKS = 0")
        for table in TABLES[:-1]:
            _run(connection, f"DELETE FROM {table._meta.table_name}")


def load(path: Path, url: str) -> None:
    """Replace all tables by those of a dump of MariaDB."""
    with closing(connect(url)) as connection:
        _run(connection, "SET FOREIGN_KEY_CHECKS = 0")
        with connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            tables = [name for (name,) in cursor.fetchall()]
            cursor.execute("SELECT VERSION()")
            is_mariadb = "mariadb" in str(cursor.fetchall()).lower()
        for table in tables:
            _run(connection, f"DROP TABLE {table}")
        text = path.read_text(encoding="utf-8")
        if not is_mariadb:
            text = text.replace(COLLATIONS["mariadb"], COLLATIONS["mysql"])
            text = text.replace("ENGINE=Aria", "ENGINE=MyISAM")
        for statement in text.split(";\n"):
            if statement.strip():
                _run(connection, statement)


def copy(source: str, target: str) -> None:
    """Copy the rows of *source* to *target*; both have their tables."""
    name = source.rpartition("/")[2]
    clear(target)
    with closing(connect(target)) as connection:
        _run(connection, "SET FOREIGN_KEY_CHECKS = 0")
        _run(connection, "DELETE FROM about")
        for table in TABLES:
            table_name = table._meta.table_name
            _run(
                connection,
                f"INSERT INTO {table_name} SELECT * FROM {name}.{table_name}",
            )


def _run(connection: pymysql.Connection, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
