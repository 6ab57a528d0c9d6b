"""Commands for bounces."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sendgrid_bounces.cli.arguments import OWNER
from sendgrid_bounces.cli.confirmation import YES, confirm
from sendgrid_bounces.cli.connection import open_control
from sendgrid_bounces.cli.doubts import STRICT, Doubts
from sendgrid_bounces.cli.groups import CommandGroup, label_parameters
from sendgrid_bounces.cli.options import JSON, state_options
from sendgrid_bounces.cli.output import echo_json, echo_table
from sendgrid_bounces.cli.progress import elapsed_time
from sendgrid_bounces.cli.queries import QUERY_OPTIONS, echo_batches, read_query, walk
from sendgrid_bounces.control.documents import render_count
from sendgrid_bounces.core.bounces import MAX_OFFSET
from sendgrid_bounces.core.charsets import is_file_charset
from sendgrid_bounces.core.errors import UnknownAddressError
from sendgrid_bounces.core.messages import pluralize, printable
from sendgrid_bounces.core.timezones import account_zone
from sendgrid_bounces.schemas.formats import EXPORT_FORMATS, IMPORT_FORMATS


def _format_option(formats: Mapping[str, str]) -> Callable[[Any], Any]:
    *first, last = (f".{suffix}" for suffix in formats)
    suffixes = f"{', '.join(first)} or {last}"
    return click.option(
        "--format",
        "file_format",
        type=click.Choice(list(dict.fromkeys(formats.values()))),
        help=f"The file format; required unless FILE ends in {suffixes}.",
    )


def _check_encoding(_context: Any, _option: Any, name: str | None) -> str | None:
    if name is not None and not is_file_charset(name):
        raise click.BadParameter(f"unknown or unsupported encoding {name!r}")
    return name


#: Commands with modules that take long to import.
SOURCES = {
    "receive": (
        "sendgrid_bounces.cli.receive:receive",
        "Add the failed recipients of bounce mails",
    ),
    "pull": (
        "sendgrid_bounces.cli.pull:pull_bounces",
        "Copy the bounces of a live account",
    ),
}


@click.group(cls=CommandGroup, sources=SOURCES)
@state_options
def bounces() -> None:
    """List, count, add, remove, import, export, receive and pull bounces.

    OWNER is the name of an account, or of a domain if there is no such account.
    """


@bounces.command("list", short_help="List bounces, oldest first")
@OWNER
@QUERY_OPTIONS
@click.option("--limit", type=click.IntRange(1), help="At most this many bounces.")
@click.option(
    "--offset",
    type=click.IntRange(0, MAX_OFFSET),
    default=0,
    help="Skip this many bounces first.",
)
@click.option(
    "--after",
    metavar="CURSOR",
    help="Continue after an earlier --json output: the value of its `next`.",
)
@JSON
@state_options
def list_bounces(
    owner: str,
    limit: int | None,
    offset: int,
    after: str | None,
    as_json: bool,  # noqa: FBT001 - click passes options by name
    **filters: Any,
) -> None:
    """List the bounces of OWNER, oldest first, in its time zone."""
    with open_control() as control:
        found = control.owner(owner)
        query = read_query(control, found.timezone, **filters)
        batches = walk(control, owner, query, limit=limit, offset=offset, after=after)
        if as_json:
            echo_batches(batches)
            return
        clock = account_zone(found.timezone)
        rows = (
            (clock.render(bounce.created), bounce.status, bounce.email, bounce.reason)
            for batch in batches
            for bounce in batch.bounces
        )
        echo_table(("created", "status", "email", "reason"), rows)


@bounces.command("count", short_help="Count bounces")
@OWNER
@QUERY_OPTIONS
@click.option(
    "--by",
    type=click.Choice(["type", "day", "domain"]),
    help="Also count each type, day or domain of the address.",
)
@JSON
@state_options
def count_bounces(owner: str, by: str | None, as_json: bool, **filters: Any) -> None:  # noqa: FBT001 - click passes options by name
    """Count the bounces of OWNER."""
    with open_control() as control:
        found = control.owner(owner)
        query = read_query(control, found.timezone, **filters)
        count = control.count_bounces(owner, query, by)
    if as_json:
        echo_json(render_count(count))
    elif by is None:
        click.echo(pluralize(count.count, "bounce"))
    else:
        groups = sorted((count.groups or {}).items())
        if by != "day":
            groups.sort(key=lambda group: -group[1])
        echo_table((by, "bounces"), groups, numbers=(1,))


@bounces.command("add", short_help="Add or replace a bounce")
@OWNER
@click.argument("email")
@click.option(
    "--status",
    default="",
    help="Enhanced status code, such as 5.1.1; the reply code if absent.",
)
@click.option(
    "--code",
    default="",
    help="SMTP reply code; that of the reason or the status, or 550, if absent.",
)
@click.option("--reason", default="", help="Diagnostic text of the remote server.")
@click.option(
    "--created",
    default="",
    metavar="TIME",
    help="Such as '2012-02-15 12:00:00'; the current time if absent.",
)
@STRICT
@state_options
def add_bounce(owner: str, email: str, is_strict: bool, **fields: str) -> None:  # noqa: FBT001 - click passes options by name
    """Add a bounce of EMAIL to the list of OWNER, or replace the existing one."""
    from sendgrid_bounces.schemas.bounces import read_record

    with open_control() as control:
        zone = account_zone(control.owner(owner).timezone)
        record = {"email": email, **fields}
        bounce = read_record(record, zone, control.clock().now)
        labels = label_parameters(click.get_current_context())
        Doubts(is_strict=is_strict, labels=labels).check("", bounce)
        control.put_bounces(owner, [bounce])
    click.echo(f"added {printable(bounce.email)}")


@bounces.command("remove", short_help="Remove a bounce")
@OWNER
@click.argument("email")
@state_options
def remove_bounce(owner: str, email: str) -> None:
    """Remove the bounce of EMAIL from the list of OWNER."""
    with open_control() as control:
        if not control.remove_bounces(owner, [email]):
            raise UnknownAddressError(f"no bounce of {email!r} in the list of {owner}")
    click.echo(f"removed {printable(email)}")


@bounces.command("import", short_help="Import bounces from a file")
@OWNER
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@_format_option(IMPORT_FORMATS)
@click.option(
    "--encoding",
    metavar="NAME",
    callback=_check_encoding,
    help="The encoding of the file, such as cp1252; UTF-8 by default.",
)
@click.option(
    "--ignore-unknown",
    "ignores_unknown",
    is_flag=True,
    help="Skip unknown columns or fields.",
)
@click.option(
    "--skip-invalid",
    "skips_invalid",
    is_flag=True,
    help="Skip invalid bounces, and report each on stderr.",
)
@click.option(
    "--dry-run", "is_dry_run", is_flag=True, help="Check the file, and store nothing."
)
@STRICT
@JSON
@state_options
def import_bounces(
    owner: str,
    file: str,
    file_format: str | None,
    as_json: bool,  # noqa: FBT001 - click passes options by name
    is_dry_run: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Import the bounces of FILE (- for stdin) into the list of OWNER.

    One transaction stores all bounces, or none.

    FILE is an export of this program, of SendGrid or of Mailgun, in CSV or JSON, or a
    list of addresses.
    """
    from sendgrid_bounces.cli.transfer import import_file

    file_format = file_format or _infer_format(file, IMPORT_FORMATS)
    with open_control() as control:
        result = import_file(
            control, owner, file, file_format, is_dry_run=is_dry_run, **options
        )
    if as_json:
        echo_json({**asdict(result), "dry_run": is_dry_run})
        return
    verb = "would import" if is_dry_run else "imported"
    skipped = f", skipped {result.skipped:,}" if result.skipped else ""
    click.echo(f"{verb} {pluralize(result.stored, 'bounce')}{skipped}")


@bounces.command("export", short_help="Export bounces to a CSV or JSON file")
@OWNER
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@_format_option(EXPORT_FORMATS)
@state_options
def export_bounces(owner: str, file: str, file_format: str | None) -> None:
    """Export the bounces of OWNER to FILE, by default to stdout as CSV."""
    from sendgrid_bounces.cli.transfer import export_file

    default = "csv" if file == "-" else None
    file_format = file_format or default or _infer_format(file, EXPORT_FORMATS)
    with open_control() as control:
        export_file(control, owner, file, file_format)


@bounces.command("clear", short_help="Remove all bounces")
@OWNER
@YES
@state_options
def clear_bounces(owner: str, yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Remove all bounces of OWNER."""
    with open_control() as control:
        number = pluralize(control.count_bounces(owner).count, "bounce")
        confirm(f"Remove {number} of {owner}?", yes=yes)
        with elapsed_time(f"Removing {number}"):
            removed = control.remove_bounces(owner)
    click.echo(f"removed {pluralize(removed, 'bounce')}")


def _infer_format(file: str, formats: Mapping[str, str]) -> str:
    """Return the format that the suffix of *file* names."""
    suffix = Path(file).suffix.lower().removeprefix(".")
    if suffix not in formats:
        names = dict.fromkeys(formats.values())
        flags = " or ".join(f"--format {known}" for known in names)
        raise click.UsageError(f"unknown file format: use {flags}")
    return formats[suffix]
