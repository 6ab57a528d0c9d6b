"""The command ``migration-report``."""

import textwrap

import click

from sendgrid_bounces.cli.connection import open_control
from sendgrid_bounces.cli.groups import Command
from sendgrid_bounces.cli.options import JSON, state_options
from sendgrid_bounces.cli.output import echo_json
from sendgrid_bounces.control.documents import render_migration
from sendgrid_bounces.core.messages import pluralize, printable
from sendgrid_bounces.core.migration import MigratedCall


@click.command("migration-report", cls=Command)
@JSON
@state_options
def migration_report(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Show how to replace the logged calls of SendGrid v2 by requests of v3.

    The calls are those in the request log of servers that have control endpoints. Each
    has its v3 requests, in which variables of the shell stand for all values, and the
    differences that matter for this call.
    """
    with open_control() as control:
        report = control.migration()
    if as_json:
        echo_json(render_migration(report))
        return
    for found in report.calls:
        _echo_call(found)
    if not report.calls:
        click.echo("The request log has no calls of SendGrid v2.")
    if report.unknown:
        requests = pluralize(report.unknown, "other request")
        click.echo(f"{requests} to v2 named no known operation.")


def _echo_call(found: MigratedCall) -> None:
    call = found.call
    parameters = [
        f"type={call.type}" if name == "type" and call.type else name
        for name in call.parameters
    ]
    title = f"{call.dialect} {call.operation}.{call.format}"
    names = ", ".join(parameters) or "no parameters"
    times = pluralize(found.count, "request")
    click.secho(printable(f"{title} ({names}): {times}"), bold=True)
    for request in found.requests:
        click.echo(f"  {printable(request)}")
    _echo_paragraph(found.note)
    for trap in found.traps:
        _echo_paragraph(f"{trap.name}: {trap.text}", bullet="- ")
    click.echo()


def _echo_paragraph(text: str, bullet: str = "") -> None:
    indent = "  " + " " * len(bullet)
    click.echo(
        textwrap.fill(text, 88, initial_indent=f"  {bullet}", subsequent_indent=indent)
    )
