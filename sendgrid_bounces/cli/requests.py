"""Commands for the request log."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from sendgrid_bounces.cli.arguments import account_option, read_instant, read_status
from sendgrid_bounces.cli.confirmation import YES, confirm
from sendgrid_bounces.cli.connection import open_control
from sendgrid_bounces.cli.groups import CommandGroup
from sendgrid_bounces.cli.options import JSON, state_options
from sendgrid_bounces.cli.output import echo_fields, echo_json, echo_table
from sendgrid_bounces.control.documents import render_request
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.messages import pluralize
from sendgrid_bounces.core.requests import MAX_ID, LoggedRequest
from sendgrid_bounces.core.times import render_instant

if TYPE_CHECKING:
    from sendgrid_bounces.cli.remote import RemoteControl
    from sendgrid_bounces.control.service import Control

#: Seconds between two queries of the log with ``--follow``.
INTERVAL = 0.5

#: Requests that ``--follow`` reads at once.
BATCH_SIZE = 1_000


@click.group(cls=CommandGroup)
@state_options
def requests() -> None:
    """List, show or clear the request log of servers that have control endpoints."""


@requests.command("list", short_help="List logged requests")
@account_option("--account", help="Only requests of this account.")
@click.option("--domain", help="Only requests for this domain.")
@click.option("--operation", help="Only requests for this operation, such as get.")
@click.option("--dialect", help="Only requests in this dialect, or to this vendor.")
@click.option(
    "--status",
    callback=read_status,
    help="Only requests with this response status, or a class of them, such as 5xx.",
)
@click.option(
    "--since",
    metavar="TIME",
    callback=read_instant,
    help="Only requests since a date or time (UTC).",
)
@click.option(
    "--after",
    type=click.IntRange(0, MAX_ID),
    metavar="ID",
    help="Only requests after this one; --limit then counts from it.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="At most this many requests; the latest ones, without --after.",
)
@click.option(
    "--follow", "-f", is_flag=True, help="Then print new requests until interrupted."
)
@JSON
@state_options
def list_requests(limit: int, follow: bool, as_json: bool, **filters: Any) -> None:  # noqa: FBT001 - click passes options by name
    """List the latest requests that match all options, oldest first.

    With --follow and --json, each request is a line.
    """
    with open_control() as control, suppress(KeyboardInterrupt):
        try:
            found = control.requests(limit, **filters)
        except ParametersError as error:
            raise click.UsageError(str(error)) from None
        if as_json and not follow:
            echo_json({"requests": [render_request(entry) for entry in found]})
            return
        entries = _follow(control, found, filters) if follow else iter(found)
        if as_json:
            for entry in entries:
                echo_json(render_request(entry))
            return
        header = ("id", "time", "status", "dialect", "operation", "account", "request")
        names = (*header, "parameters", "rows", "fault")
        echo_table(names, map(_row, entries), measured=len(found))


@requests.command("show", short_help="Show a logged request")
@click.argument("number", metavar="ID", type=int)
@JSON
@state_options
def show_request(number: int, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Show all fields of the request ID of `requests list`, and why it failed."""
    with open_control() as control:
        entry = control.request(number)
        document = {**render_request(entry), "why": control.explain(entry)}
    if as_json:
        echo_json(document)
        return
    values = {**document, "parameters": _dump(entry.parameters)}
    echo_fields({name: _text(value) for name, value in values.items()})


@requests.command("clear", short_help="Remove all logged requests")
@YES
@state_options
def clear_requests(yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Remove all requests from the request log."""
    with open_control() as control:
        if control.requests(1):
            confirm("Remove all requests from the log?", yes=yes)
        removed = control.clear_requests()
    click.echo(f"removed {pluralize(removed, 'request')}")


def _follow(
    control: "Control | RemoteControl",
    found: Sequence[LoggedRequest],
    filters: dict[str, Any],
) -> Iterator[LoggedRequest]:
    """Yield *found*, then the requests that are logged from now on."""
    last = filters["after"] or 0
    while True:
        yield from found
        last = found[-1].id if found else last
        if len(found) < BATCH_SIZE:
            time.sleep(INTERVAL)
        found = control.requests(BATCH_SIZE, **{**filters, "after": last})


def _row(entry: LoggedRequest) -> Sequence[str]:
    """Return the cells of *entry*."""
    cells = (
        entry.id,
        render_instant(entry.emulated_time),
        entry.status,
        entry.dialect,
        entry.operation,
        entry.account,
        f"{entry.method} {entry.path}",
        _dump(entry.parameters),
        entry.rows,
        entry.fault,
    )
    return [_text(cell) for cell in cells]


def _dump(parameters: Mapping[str, Any]) -> str:
    return json.dumps(parameters, ensure_ascii=False)


def _text(value: object) -> str:
    """Return a dash for an unknown value."""
    return "-" if value is None else str(value)
