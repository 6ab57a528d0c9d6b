"""Commands for bounces."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from sendgrid_bounces.cli.files import (
    READERS,
    WRITERS,
    Record,
    open_input,
    open_output,
    progress_bar,
)
from sendgrid_bounces.cli.main import (
    current_time,
    database_clock,
    database_option,
    open_database,
    pluralize,
    printable,
)
from sendgrid_bounces.core.bounces import Bounce, BounceQuery
from sendgrid_bounces.core.errors import ParametersError, UnknownAddressError
from sendgrid_bounces.core.timezones import TimeZone, time_zone
from sendgrid_bounces.schemas.bounces import read_record, write_record
from sendgrid_bounces.storage.bounces import as_bounce

OWNER = click.argument("owner")
FORMAT = click.option(
    "--format",
    "file_format",
    type=click.Choice(list(READERS)),
    help="The file format; needed if FILE does not end in .csv or .json.",
)

#: Rows between two updates of the progress bar.
PROGRESS_INTERVAL = 1_000


@click.group(short_help="Manage the bounces of an account or domain")
def bounces() -> None:
    """List, add, remove, import and export bounces.

    OWNER is the name of an account, or of a domain if there is no such account.
    """


@bounces.command("list", short_help="List bounces, oldest first")
@OWNER
@click.option("--email", multiple=True, help="Only this address; may be repeated.")
@click.option("--limit", type=click.IntRange(1), help="At most this many bounces.")
@database_option
def list_bounces(owner: str, email: tuple[str, ...], limit: int | None) -> None:
    """List the bounces of OWNER, oldest first, in its time zone."""
    with open_database() as storage:
        named = storage.accounts.named_list(owner)
        clock = time_zone(named.timezone)
        batches = storage.bounces.find_brief(named.id, BounceQuery(emails=email), limit)
        for rows in batches:
            for address, status, reason, created, _id in rows:
                line = (clock.render(created), f"{status:<8}", address, reason)
                click.echo(printable("  ".join(line)))


@bounces.command("add", short_help="Add or replace a bounce")
@OWNER
@click.argument("email")
@click.option("--status", default="", help="Enhanced status code, such as 5.1.1.")
@click.option("--code", default="", help="SMTP reply code, such as 550 (the default).")
@click.option("--reason", default="", help="Diagnostic text of the remote server.")
@click.option(
    "--created", default="", help="YYYY-MM-DD HH:MM:SS; the current time if absent."
)
@database_option
def add_bounce(
    owner: str,
    email: str,
    status: str,
    code: str,
    reason: str,
    created: str,
) -> None:
    """Add a bounce of EMAIL to the list of OWNER, or replace the existing one."""
    record = {
        "email": email,
        "status": status,
        "code": code,
        "reason": reason,
        "created": created,
    }
    with open_database() as storage:
        named = storage.accounts.named_list(owner)
        bounce = read_record(record, time_zone(named.timezone), current_time(storage))
        storage.bounces.put(named.id, [bounce])
    click.echo(f"added {email}")


@bounces.command("remove", short_help="Remove a bounce")
@OWNER
@click.argument("email")
@database_option
def remove_bounce(owner: str, email: str) -> None:
    """Remove the bounce of EMAIL from the list of OWNER."""
    with open_database() as storage:
        named = storage.accounts.named_list(owner)
        query, clock = BounceQuery(emails=(email,)), database_clock(storage)
        if not storage.bounces.delete(named.id, query, clock=clock):
            raise UnknownAddressError(f"no bounce of {email!r} in the list of {owner}")
    click.echo(f"removed {email}")


@bounces.command("import", short_help="Import bounces from a CSV or JSON file")
@OWNER
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@FORMAT
@database_option
def import_bounces(owner: str, file: str, file_format: str | None) -> None:
    """Import all bounces of FILE (- for stdin) into the list of OWNER, or none."""
    file_format = file_format or _infer_format(file)
    with open_database() as storage, open_input(file) as text:
        named = storage.accounts.named_list(owner)
        with progress_bar(text) as update:
            records = READERS[file_format](text)
            zone = time_zone(named.timezone)
            found = _read_bounces(records, zone, current_time(storage), update)
            try:
                stored = storage.bounces.put(named.id, found)
            except ParametersError as error:
                raise error.within(file, ", ") from None
    click.echo(f"imported {pluralize(stored, 'bounce')}")


@bounces.command("export", short_help="Export bounces to a CSV or JSON file")
@OWNER
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@FORMAT
@database_option
def export_bounces(owner: str, file: str, file_format: str | None) -> None:
    """Export the bounces of OWNER to FILE, by default to stdout as CSV."""
    default = "csv" if file == "-" else None
    file_format = file_format or default or _infer_format(file)
    with open_database() as storage:
        named = storage.accounts.named_list(owner)
        found = storage.bounces.find(named.id, BounceQuery())
        records = (write_record(as_bounce(row)) for rows in found for row in rows)
        with open_output(file) as text:
            for piece in WRITERS[file_format](records):
                text.write(piece)


@bounces.command("clear", short_help="Remove all bounces")
@OWNER
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@database_option
def clear_bounces(owner: str, yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Remove all bounces of OWNER."""
    with open_database() as storage:
        named = storage.accounts.named_list(owner)
        number = storage.bounces.count(named.id, BounceQuery())
        if not yes:
            question = f"Remove {pluralize(number, 'bounce')} of {owner}?"
            click.confirm(question, abort=True)
        clock = database_clock(storage)
        removed = storage.bounces.delete(named.id, BounceQuery(), clock=clock)
    click.echo(f"removed {pluralize(removed, 'bounce')}")


def _read_bounces(
    records: Iterable[tuple[str, Record]],
    zone: TimeZone,
    now: int,
    update: Callable[[], None],
) -> Iterator[Bounce]:
    """Yield the bounces of *records*, calling *update* at regular intervals.

    :param now: the creation time of records without one.
    """
    for number, (place, record) in enumerate(records):
        try:
            yield read_record(record, zone, now)
        except ParametersError as error:
            raise error.within(place, ", ") from None
        if number % PROGRESS_INTERVAL == 0:
            update()


def _infer_format(file: str) -> str:
    """Return the format that the suffix of *file* names."""
    suffix = Path(file).suffix.lower().removeprefix(".")
    if suffix not in READERS:
        flags = " or ".join(f"--format {known}" for known in READERS)
        raise click.UsageError(f"unknown file format: use {flags}")
    return suffix
