"""The journal on the command line."""

import json
from typing import Any

import click

from sendgrid_bounces.cli.main import database_option, open_database, printable
from sendgrid_bounces.control.service import DEFAULT_LIMIT, MAX_LIMIT, STATUSES
from sendgrid_bounces.core.clock import parse_instant, render_instant
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.requests import LoggedRequest, RequestFilter
from sendgrid_bounces.schemas.faults import OPERATIONS, VENDORS, operations


def _instant(_context: object, _option: object, text: str | None) -> int | None:
    """Return the instant that an option names."""
    try:
        return None if text is None else parse_instant(text)
    except ParametersError as error:
        raise click.BadParameter(error.problems[0][1]) from None


@click.group()
def requests() -> None:
    """List and forget the last requests of servers with control."""


@requests.command("list")
@click.option("--account", help="Only of this account.")
@click.option("--domain", help="Only of this domain's list.")
@click.option(
    "--operation", type=click.Choice(operations(None)), help="Only of this operation."
)
@click.option(
    "--dialect",
    type=click.Choice([*VENDORS, *OPERATIONS]),
    help="Only of this vendor, or this dialect.",
)
@click.option(
    "--status", type=click.IntRange(*STATUSES), help="Only those that were answered so."
)
@click.option(
    "--since", callback=_instant, help="Only from then on, as 2012-02-15T12:00:00Z."
)
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_LIMIT),
    default=DEFAULT_LIMIT,
    show_default=True,
    help="No more than so many, the last ones.",
)
@database_option
def list_(limit: int, database: str, **filters: Any) -> None:
    """List the last requests that match, oldest first, one in a line."""
    with open_database(database) as storage:
        for entry in storage.requests.find(RequestFilter(**filters), limit):
            click.echo(printable(_line(entry)))


@requests.command()
@database_option
def clear(database: str) -> None:
    """Forget all requests."""
    with open_database(database) as storage:
        removed = storage.requests.clear()
    click.echo(f"removed {removed} requests")


def _line(entry: LoggedRequest) -> str:
    """Return *entry* in one line: what is not known is a dash."""
    words = (
        render_instant(entry.time),
        f"{entry.status or '-'!s:<3}",
        f"{entry.dialect} {entry.operation or '-'}",
        entry.account or "-",
        f"{entry.method} {entry.path}",
        json.dumps(entry.parameters, ensure_ascii=False),
    )
    changed = () if entry.rows is None else (f"changed {entry.rows}",)
    hit = () if entry.fault is None else (f"fault {entry.fault}",)
    return "  ".join((*words, *changed, *hit))
