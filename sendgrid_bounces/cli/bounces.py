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
from sendgrid_bounces.cli.main import database_option, now, open_database, printable
from sendgrid_bounces.core.bounces import Bounce, BounceQuery
from sendgrid_bounces.core.clock import WallClock, wall_clock
from sendgrid_bounces.core.errors import ParametersError, UnknownAddressError
from sendgrid_bounces.schemas.bounces import read_record, write_record
from sendgrid_bounces.storage.bounces import as_bounce

OWNER = click.argument("owner")
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
    """List, add, remove, import and export bounces.

    OWNER is the name of an account, or of a domain if no account has it.
    """


@bounces.command("list")
@OWNER
@click.option("--email", multiple=True, help="Only this address; may be given often.")
@click.option("--limit", type=click.IntRange(1), help="No more than so many.")
@database_option
def list_(owner: str, email: tuple[str, ...], limit: int | None, database: str) -> None:
    """List the bounces of OWNER, oldest first, in its time zone."""
    with open_database(database) as storage:
        named = storage.accounts.named_list(owner)
        clock = wall_clock(named.timezone)
        batches = storage.bounces.find_brief(named.id, BounceQuery(emails=email), limit)
        for rows in batches:
            for address, status, reason, created, _id in rows:
                line = (clock.render(created), f"{status:<8}", address, reason)
                click.echo(printable("  ".join(line)))


@bounces.command()
@OWNER
@click.argument("email")
@click.option("--status", default="", help="Enhanced status code, as 5.1.1.")
@click.option("--code", default="", help="SMTP reply code, as 550 (the default).")
@click.option("--reason", default="", help="What the other side said.")
@click.option("--created", default="", help="YYYY-MM-DD HH:MM:SS; now if absent.")
@database_option
def add(
    owner: str,
    email: str,
    status: str,
    code: str,
    reason: str,
    created: str,
    database: str,
) -> None:
    """Put the address EMAIL on the list of OWNER, or replace it there."""
    record = {
        "email": email,
        "status": status,
        "code": code,
        "reason": reason,
        "created": created,
    }
    with open_database(database) as storage:
        named = storage.accounts.named_list(owner)
        bounce = read_record(record, wall_clock(named.timezone), now(storage))
        storage.bounces.put(named.id, [bounce])
    click.echo(f"added {email}")


@bounces.command()
@OWNER
@click.argument("email")
@database_option
def remove(owner: str, email: str, database: str) -> None:
    """Remove the address EMAIL from the list of OWNER."""
    with open_database(database) as storage:
        named = storage.accounts.named_list(owner)
        if not storage.bounces.delete(named.id, BounceQuery(emails=(email,))):
            raise UnknownAddressError(f"{owner} has no bounce of {email!r}")
    click.echo(f"removed {email}")


@bounces.command("import")
@OWNER
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@FORMAT
@database_option
def import_(owner: str, file: str, form: str | None, database: str) -> None:
    """Store the bounces of FILE (- for stdin) in the list of OWNER: all or none."""
    form = _format(file, form)
    with open_database(database) as storage, reading(file) as text:
        named = storage.accounts.named_list(owner)
        with progress(text) as moved:
            read = READERS[form](text)
            zone = wall_clock(named.timezone)
            bounces = _bounces(read, zone, now(storage), moved)
            try:
                stored = storage.bounces.put(named.id, bounces)
            except ParametersError as error:
                raise error.within(file, ", ") from None
    click.echo(f"imported {stored} bounces")


@bounces.command()
@OWNER
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@FORMAT
@database_option
def export(owner: str, file: str, form: str | None, database: str) -> None:
    """Write the bounces of OWNER to FILE (stdout, as CSV, if absent)."""
    form = "csv" if file == "-" and not form else _format(file, form)
    with open_database(database) as storage:
        named = storage.accounts.named_list(owner)
        found = storage.bounces.find(named.id, BounceQuery())
        records = (write_record(as_bounce(row)) for rows in found for row in rows)
        with writing(file) as text:
            for piece in WRITERS[form](records):
                text.write(piece)


@bounces.command()
@OWNER
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
def clear(owner: str, yes: bool, database: str) -> None:  # noqa: FBT001
    """Remove all bounces of OWNER."""
    with open_database(database) as storage:
        named = storage.accounts.named_list(owner)
        number = storage.bounces.count(named.id, BounceQuery())
        if not yes:
            click.confirm(f"Remove {number} bounces of {owner}?", abort=True)
        removed = storage.bounces.delete(named.id, BounceQuery())
    click.echo(f"removed {removed} bounces")


def _bounces(
    records: Iterable[tuple[str, Record]],
    zone: WallClock,
    instant: int,
    moved: Callable[[], None],
) -> Iterator[Bounce]:
    """Yield the bounces of *records*, calling *moved* every now and then.

    :param instant: of those that name none.
    """
    for number, (place, record) in enumerate(records):
        try:
            yield read_record(record, zone, instant)
        except ParametersError as error:
            raise error.within(place, ", ") from None
        if number % STEP == 0:
            moved()


def _format(file: str, form: str | None) -> str:
    suffix = Path(file).suffix.lower().removeprefix(".")
    if form is None and suffix not in READERS:
        raise click.UsageError("say --format csv or --format json")
    return form or suffix
