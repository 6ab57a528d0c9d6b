"""Measure the server against named baselines: ``python benchmarks/run.py``."""

import json
import os
import platform
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import click

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parent.parent))

import data
import hostile
import measures
import report
import soak
from measures import Bench, Row

#: All measures by their names for ``--only``.
MEASURES = {**measures.MEASURES, **hostile.MEASURES, **soak.MEASURES}


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Of the large list.")
@click.option("--rounds", default=5, show_default=True, help="Of each measure.")
@click.option("--only", multiple=True, type=click.Choice(list(MEASURES)))
@click.option(
    "--folder",
    type=click.Path(file_okay=False),
    help="Of the data, kept for later runs; by default a temporary folder.",
)
@click.option(
    "--mysql",
    metavar="URL",
    help="Also measure a MariaDB server, such as mysql://USER@HOST:3306/. Its database "
    "is kept with --folder.",
)
@click.option(
    "--json", "json_file", type=click.Path(), help="Write the figures to this file."
)
@click.option(
    "--chart", type=click.Path(), help="Draw a chart to this file (.svg or .png)."
)
@click.option("--table", type=click.Path(), help="Write the table to this file (.rst).")
def main(
    rows: int,
    rounds: int,
    only: tuple[str, ...],
    folder: str | None,
    mysql: str | None,
    json_file: str | None,
    chart: str | None,
    table: str | None,
) -> None:
    """Print a table of figures, each measured in turns with its baseline."""
    with TemporaryDirectory() as temporary:
        bench = prepare(Path(folder or temporary).absolute(), rows, rounds)
        with mysql_database(mysql, rows, keep=bool(folder)) as mysql_url:
            bench = replace(bench, mysql_url=mysql_url)
            found: list[Row] = []
            for name in only or MEASURES:
                click.echo(f"{name} ...", err=True)
                found += MEASURES[name](bench)
    facts = about(rows, rounds)
    text = report.table(found, facts)
    click.echo(text)
    if table:
        Path(table).write_text(text, encoding="utf-8")
    if json_file:
        document = {"machine": facts, "rows": [report.as_mapping(r) for r in found]}
        Path(json_file).write_text(json.dumps(document, indent=1) + "\n")
    if chart:
        report.draw(found, facts, chart)


def prepare(folder: Path, rows: int, rounds: int) -> Bench:
    """Create the data unless it exists."""
    file = folder / f"bounces-{rows}.sqlite3"
    url = f"sqlite:///{file}"
    if not file.exists():
        click.echo(f"creating {rows:,} bounces ...", err=True)
        folder.mkdir(parents=True, exist_ok=True)
        incomplete = folder / "incomplete.sqlite3"
        incomplete.unlink(missing_ok=True)
        data.fill(f"sqlite:///{incomplete}?synchronous=off", rows)
        with closing(sqlite3.connect(incomplete)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        incomplete.rename(file)
    return Bench(rows, url, file, folder, rounds)


@contextmanager
def mysql_database(server: str | None, rows: int, *, keep: bool) -> Iterator[str]:
    """Create the data on a MariaDB server unless it exists; yield its URL."""
    if server is None:
        yield ""
        return
    import pymysql  # from the extra `mysql`

    name = f"sendgrid_bounces_benchmark_{rows}"
    place = urlsplit(server)
    with closing(
        pymysql.connect(
            host=place.hostname,
            port=place.port or 3306,
            user=place.username,
            password=place.password or "",
            ssl_disabled=True,
        )
    ) as connection:
        cursor = connection.cursor()
        if not cursor.execute("SHOW DATABASES LIKE %s", [name]):
            click.echo(f"creating {rows:,} bounces on MariaDB ...", err=True)
            cursor.execute(f"CREATE DATABASE {name}")
            data.fill(f"{server.rstrip('/')}/{name}", rows)
        try:
            yield f"{server.rstrip('/')}/{name}"
        finally:
            if not keep:
                connection.ping(reconnect=True)
                cursor.execute(f"DROP DATABASE {name}")


def about(rows: int, rounds: int) -> dict[str, str]:
    """Return the machine, the versions and the size of the run."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return {
        "processor": f"{os.cpu_count()} x {cpu}",
        "system": platform.system(),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "bounces": f"{rows:,}",
        "rounds": str(rounds),
        "day": f"{datetime.now(timezone.utc):%Y-%m-%d}",
    }


if __name__ == "__main__":
    main()
