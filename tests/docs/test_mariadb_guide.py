"""The guide to MariaDB, executed on a server with other names than the guide has."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import mysql
import pytest
from blocks import DOCS, blocks_of
from shell import real_session

MARIADB = DOCS / "how-to" / "mariadb.rst"


@contextmanager
def _names_of_the_guide(url: str) -> Iterator[Callable[[str], str]]:
    """Yield a function that replaces the guide's names with those of this test.

    :param url: a database that does not exist yet, which the guide creates.
    """
    where, name = urlsplit(url), url.rpartition("/")[2]
    user = f"docs_{name[-12:]}"
    with closing(mysql.connect(mysql.URL)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT SUBSTRING_INDEX(USER(), '@', -1)")
        (host,) = cursor.fetchone()  # anonymous users of this host precede '%'
        names = {
            "127.0.0.1:3306/bounces": f"{where.hostname}:{where.port or 3306}/{name}",
            "bounces:secret": f"{user}:secret",
            "'bounces'@'%'": f"'{user}'@'{host}'",
            "bounces.*": f"{name}.*",
            "atabase bounces": f"atabase {name}",
            "ATABASE bounces": f"ATABASE {name}",
        }

        def replace_names(text: str) -> str:
            for old, new in names.items():
                text = text.replace(old, new)
            return text

        try:
            yield replace_names
        finally:
            cursor.execute(f"DROP USER IF EXISTS '{user}'@'{host}'")


@pytest.mark.mysql
@pytest.mark.server
def test_the_mariadb_guide_works(tmp_path: Path) -> None:
    with mysql.database() as url, _names_of_the_guide(url) as replace_names:
        with closing(mysql.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {url.rpartition('/')[2]}")
            (statements,) = blocks_of(MARIADB, "sql")
            for statement in replace_names(statements.text).split(";")[:-1]:
                cursor.execute(statement)
        with real_session(tmp_path, replace_names) as played:
            for block in blocks_of(MARIADB):
                if block.language == "yaml":
                    (tmp_path / block.name).write_text(replace_names(block.text))
                for command, expected in block.dialogue():
                    assert played.play(command) == replace_names(expected)
