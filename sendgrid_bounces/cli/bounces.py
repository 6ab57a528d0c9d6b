"""Bounces on the command line."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from sendgrid_bounces.cli.files import READERS, WRITERS
from sendgrid_bounces.cli.main import database_option, opened
from sendgrid_bounces.core.bounces import Bounce, BounceQuery
from sendgrid_bounces.core.clock import Clock, WallClock, wall_clock
from sendgrid_bounces.core.errors import ParametersError, UnknownNameError
from sendgrid_bounces.records import read_record, write_record
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.storage.database import Storage

ACCOUNT = click.argument("account")
FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(list(READERS)),
    help="The file's format, if its name does not end in .csv or .json.",
)

#: How often a progress bar moves, in rows.
STEP = 1_000


@click.group()
def bounces() -> None:
    """List, add, remove, import and export the bounces of an account."""


@bounces.command("list")
@ACCOUNT
@click.option("--email", multiple=True, help="Only this address; may be given often.")
@click.option("--limit", type=click.IntRange(1), help="No more than so many.")
@database_option
def list_(
    account: str, email: tuple[str, ...], limit: int | None, database: str
) -> None:
    """List the bounces of ACCOUNT, oldest first, in its time zone."""
    with opened(database) as storage:
        owner = storage.accounts.get(account)
        clock = wall_clock(owner.timezone)
        batches = storage.bounces.find(
            owner.bounce_list, BounceQuery(emails=email), limit
        )
        for rows in batches:
            for address, status, _code, reason, created, _reported, _id in rows:
                line = (clock.render(created), f"{status:<8}", address, reason)
                click.echo("  ".join(line))


@bounces.command()
@ACCOUNT
@click.argument("email")
@click.option("--status", default="", help="Enhanced status code, as 5.1.1.")
@click.option("--code", default="", help="SMTP reply code, as 550 (the default).")
@click.option("--reason", default="", help="What the other side said.")
@click.option("--created", default="", help="YYYY-MM-DD HH:MM:SS; now if absent.")
@database_option
def add(
    account: str,
    email: str,
    status: str,
    code: str,
    reason: str,
    created: str,
    database: str,
) -> None:
    """Put the address EMAIL on the list of ACCOUNT, or replace it there."""
    record = {
        "email": email,
        "status": status,
        "code": code,
        "reason": reason,
        "created": created,
    }
    with opened(database) as storage:
        owner = storage.accounts.get(account)
        bounce = read_record(record, wall_clock(owner.timezone), Clock().now())
        storage.bounces.put(owner.bounce_list, [bounce])
    click.echo(f"added {email}")


@bounces.command()
@ACCOUNT
@click.argument("email")
@database_option
def remove(account: str, email: str, database: str) -> None:
    """Remove the address EMAIL from the list of ACCOUNT."""
    with opened(database) as storage:
        owner = storage.accounts.get(account)
        if not storage.bounces.delete(owner.bounce_list, BounceQuery(emails=(email,))):
            raise UnknownNameError(f"{account} has no bounce of {email!r}")
    click.echo(f"removed {email}")


@bounces.command("import")
@ACCOUNT
@click.argument("file", type=click.File(encoding="utf-8-sig"))
@FORMAT
@database_option
def import_(account: str, file: IO[str], form: str | None, database: str) -> None:
    """Store the bounces of FILE (- for stdin) in the list of ACCOUNT: all or none."""
    with opened(database) as storage:
        owner = storage.accounts.get(account)
        bounces = _read(file, form, wall_clock(owner.timezone))
        stored = storage.bounces.put(owner.bounce_list, bounces)
    click.echo(f"imported {stored} bounces")


@bounces.command()
@ACCOUNT
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
@FORMAT
@database_option
def export(account: str, file: IO[str], form: str | None, database: str) -> None:
    """Write the bounces of ACCOUNT to FILE (stdout if absent)."""
    with opened(database) as storage:
        owner = storage.accounts.get(account)
        records = (write_record(bounce) for bounce in _all(storage, owner.bounce_list))
        for text in WRITERS[form or _format(file.name) or "csv"](records):
            file.write(text)


@bounces.command()
@ACCOUNT
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
def clear(account: str, yes: bool, database: str) -> None:  # noqa: FBT001
    """Remove all bounces of ACCOUNT."""
    with opened(database) as storage:
        owner = storage.accounts.get(account)
        number = storage.bounces.count(owner.bounce_list, BounceQuery())
        if not yes:
            click.confirm(f"Remove {number} bounces of {account}?", abort=True)
        removed = storage.bounces.delete(owner.bounce_list, BounceQuery())
    click.echo(f"removed {removed} bounces")


def _all(storage: Storage, bounce_list: int) -> Iterator[Bounce]:
    for rows in storage.bounces.find(bounce_list, BounceQuery()):
        yield from map(as_bounce, rows)


def _read(file: IO[str], form: str | None, zone: WallClock) -> Iterator[Bounce]:
    """Yield the bounces of *file*, moving a progress bar on a terminal's stderr."""
    form = form or _format(file.name)
    if form is None:
        raise click.UsageError("say --format csv or --format json")
    now = Clock().now()
    size = os.fstat(file.fileno()).st_size if file.name != "<stdin>" else 0
    with click.progressbar(
        length=size, label="Importing", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        try:
            for number, (place, record) in enumerate(READERS[form](file)):
                try:
                    yield read_record(record, zone, now)
                except ParametersError as error:
                    raise ParametersError(
                        [(f"{place}, {name}", text) for name, text in error.faults]
                    ) from None
                if number % STEP == 0 and size:
                    bar.update(os.lseek(file.fileno(), 0, os.SEEK_CUR) - bar.pos)
        except UnicodeDecodeError:
            raise ParametersError([("", "the file is not UTF-8 text")]) from None
        except ParametersError as error:
            raise ParametersError(
                [(f"{file.name}, {place}", text) for place, text in error.faults]
            ) from None
        bar.update(size - bar.pos)


def _format(name: str) -> str | None:
    suffix = Path(name).suffix.lower().removeprefix(".")
    return suffix if suffix in READERS else None
