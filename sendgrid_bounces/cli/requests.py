"""Commands for the request log."""

import json
from collections.abc import Sequence
from typing import Any

import click

from sendgrid_bounces.cli.connection import open_control
from sendgrid_bounces.cli.groups import CommandGroup
from sendgrid_bounces.cli.options import JSON, state_options
from sendgrid_bounces.cli.output import echo_json, echo_table, pluralize
from sendgrid_bounces.control.documents import render_request
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.core.times import parse_instant, render_instant


def _instant(_context: object, _option: object, text: str | None) -> int | None:
    """Return the instant in the value of an option."""
    try:
        return None if text is None else parse_instant(text)
    except ParametersError as error:
        raise click.BadParameter(error.problems[0][1]) from None


@click.group(cls=CommandGroup)
@state_options
def requests() -> None:
    """List or clear the request log of servers that have control endpoints."""


@requests.command("list", short_help="List logged requests")
@click.option("--account", help="Only requests of this account.")
@click.option("--domain", help="Only requests for this domain.")
@click.option("--operation", help="Only requests for this operation, such as get.")
@click.option("--dialect", help="Only requests in this dialect, or to this vendor.")
@click.option(
    "--status",
    type=click.IntRange(100, 599),
    help="Only requests with this response status.",
)
@click.option(
    "--since",
    callback=_instant,
    help="Only requests since an instant such as 2012-02-15T12:00:00Z.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="At most this many requests, the latest ones.",
)
@JSON
@state_options
def list_requests(limit: int, as_json: bool, **filters: Any) -> None:  # noqa: FBT001 - click passes options by name
    """List the latest requests that match all options, oldest first."""
    with open_control() as control:
        try:
            found = control.requests(limit, **filters)
        except ParametersError as error:
            raise click.UsageError(str(error)) from None
    if as_json:
        echo_json({"requests": [render_request(entry) for entry in found]})
        return
    header = ("time", "status", "dialect", "operation", "account", "request")
    echo_table((*header, "parameters", "rows", "fault"), map(_row, found))


@requests.command("clear", short_help="Remove all logged requests")
@state_options
def clear_requests() -> None:
    """Remove all requests from the request log."""
    with open_control() as control:
        removed = control.clear_requests()
    click.echo(f"removed {pluralize(removed, 'request')}")


def _row(entry: LoggedRequest) -> Sequence[str]:
    """Return the cells of *entry*, with a dash for each unknown value."""
    cells = (
        render_instant(entry.time),
        entry.status,
        entry.dialect,
        entry.operation,
        entry.account,
        f"{entry.method} {entry.path}",
        json.dumps(entry.parameters, ensure_ascii=False),
        entry.rows,
        entry.fault,
    )
    return ["-" if cell is None else str(cell) for cell in cells]
