"""Bounces on the command line."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from sendgrid_bounces.cli.files import (
    READERS,
    WRITERS,
    Record,
    progress,
    reading,
    writing,
)
from sendgrid_bounces.cli.main import database_option, opened
from sendgrid_bounces.core.bounces import Bounce, BounceQuery
from sendgrid_bounces.core.clock import Clock, WallClock, wall_clock
from sendgrid_bounces.core.errors import ParametersError, UnknownNameError
from sendgrid_bounces.records import read_record, write_record
from sendgrid_bounces.storage.bounces import as_bounce

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
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@FORMAT
@database_option
def import_(account: str, file: str, form: str | None, database: str) -> None:
    """Store the bounces of FILE (- for stdin) in the list of ACCOUNT: all or none."""
    form = _format(file, form)
    with opened(database) as storage, reading(file) as text:
        owner = storage.accounts.get(account)
        read = READERS[form](text)
        bounces = _bounces(read, wall_clock(owner.timezone), progress(text))
        try:
            stored = storage.bounces.put(owner.bounce_list, bounces)
        except ParametersError as error:
            raise error.within(file, ", ") from None
    click.echo(f"imported {stored} bounces")


@bounces.command()
@ACCOUNT
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@FORMAT
@database_option
def export(account: str, file: str, form: str | None, database: str) -> None:
    """Write the bounces of ACCOUNT to FILE (stdout, as CSV, if absent)."""
    form = "csv" if file == "-" and not form else _format(file, form)
    with opened(database) as storage:
        owner = storage.accounts.get(account)
        found = storage.bounces.find(owner.bounce_list, BounceQuery())
        records = (write_record(as_bounce(row)) for rows in found for row in rows)
        with writing(file) as text:
            for piece in WRITERS[form](records):
                text.write(piece)


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


def _bounces(
    records: Iterable[tuple[str, Record]],
    zone: WallClock,
    moved: Callable[[], None],
) -> Iterator[Bounce]:
    """Yield the bounces of *records*, calling *moved* every now and then."""
    now = Clock().now()
    for number, (place, record) in enumerate(records):
        try:
            yield read_record(record, zone, now)
        except ParametersError as error:
            raise error.within(place, ", ") from None
        if number % STEP == 0:
            moved()


def _format(file: str, form: str | None) -> str:
    suffix = Path(file).suffix.lower().removeprefix(".")
    if form is None and suffix not in READERS:
        raise click.UsageError("say --format csv or --format json")
    return form or suffix
