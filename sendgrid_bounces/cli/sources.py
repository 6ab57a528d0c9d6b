"""Commands for sources of real bounces."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from sendgrid_bounces.cli.arguments import NAME, OWNER, SOURCE_NAME
from sendgrid_bounces.cli.confirmation import YES, confirm
from sendgrid_bounces.cli.connection import open_control, open_local
from sendgrid_bounces.cli.groups import CommandGroup
from sendgrid_bounces.cli.options import (
    JSON,
    database_option,
    reject_server,
    state_options,
)
from sendgrid_bounces.cli.output import echo_json, echo_table
from sendgrid_bounces.cli.prompts import read_secret
from sendgrid_bounces.cli.text_files import open_binary
from sendgrid_bounces.control.documents import SourceReport, render_pull, render_source
from sendgrid_bounces.core.errors import UnknownNameError
from sendgrid_bounces.core.messages import pluralize, printable
from sendgrid_bounces.core.pulls import Pull
from sendgrid_bounces.core.times import render_instant
from sendgrid_bounces.sources import KINDS

#: The options of `source add` with a value, and the help of each.
SETTINGS: Mapping[str, str] = {
    "key_file": "File of the server with SendGrid's public or Mailgun's signing key.",
    "key_variable": "Environment variable of the server with the key.",
    "token_file": "File of the server with the token.",
    "token_variable": "Environment variable of the server with the token.",
    "certificate_file": "SES: file of the server with the certificate of Amazon SNS.",
}

#: The secret that is prompted for: its field, its name, and whether it is hidden. The
#: key of SendGrid is public.
PROMPTS: Mapping[str, tuple[str, str, bool]] = {
    "mail": ("token", "token", True),
    "postmark": ("token", "token", True),
    "sendgrid": ("key", "public key", False),
    "ses": ("token", "token", True),
}


def _setting_options(command: Any) -> Any:
    """Add an option for each of :data:`SETTINGS` to *command*."""
    for name, help_ in reversed([*SETTINGS.items()]):
        flag, metavar = f"--{name.replace('_', '-')}", name.rpartition("_")[2].upper()
        command = click.option(flag, name, metavar=metavar, help=help_)(command)
    return command


@click.group(cls=CommandGroup)
@state_options
def source() -> None:
    """Add, list, test and remove sources of real bounces.

    A source has an endpoint, /_sources/NAME, to which a provider or a mail system posts
    events.
    """


@source.command("add", short_help="Add a source of bounces")
@NAME
@OWNER
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    required=True,
    help="The sender of the events: a provider, or a mail system (mail).",
)
@_setting_options
@click.option(
    "--topic", "topics", multiple=True, help="SES: accept this ARN; may be repeated."
)
@state_options
def add_source(
    name: str, owner: str, kind: str, topics: tuple[str, ...], **settings: str | None
) -> None:
    """Add the source NAME; its events go to the list of OWNER.

    Without an option for a key, token or certificate, the secret is prompted for, or
    read from stdin: the public key of SendGrid; a token, which is stored as a hash. The
    signing key of Mailgun must stay in a file or variable, since it cannot be hashed.
    """
    given: dict[str, Any] = {k: v for k, v in settings.items() if v is not None}
    with open_control() as control:
        control.owner(owner)  # fail before prompting for a secret
        if not given and kind in PROMPTS:
            field, prompt, is_hidden = PROMPTS[kind]
            given[field] = read_secret(prompt, is_hidden=is_hidden)
        if topics:
            given["topics"] = [*topics]
        fields = {"name": name, "owner": owner, "kind": kind}
        added = control.add_source({**fields, **given})
    click.echo(f"added {name}, which receives events at {added.path}")


@source.command("list", short_help="List sources and their activity")
@JSON
@state_options
def list_sources(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List all sources, the events that arrived, and the latest problem of each."""
    with open_control() as control:
        found, pulls = control.sources(), control.pulls()
    if as_json:
        sources = [render_source(each) for each in found]
        echo_json({"sources": sources, "pulls": [render_pull(each) for each in pulls]})
        return
    counters = ("listed", "known", "ignored", "skipped", "refused")
    rows = (
        (
            each.name,
            each.kind,
            each.owner,
            *(getattr(each.counts, name) for name in counters),
            "-" if each.last_event is None else render_instant(each.last_event),
        )
        for each in found
    )
    header = ("source", "kind", "owner", *counters, "last event")
    echo_table(header, rows, numbers=range(3, 8))
    for each in found:
        for line in _notes(each):
            click.echo(printable(f"{each.name}: {line}"))
    if pulls:
        click.echo()
        _echo_pulls(pulls)


def _echo_pulls(pulls: Sequence[Pull]) -> None:
    """Print the latest pull into each list, and its failure if there is one."""
    rows = (
        (
            each.owner,
            each.service,
            "-" if each.finished is None else render_instant(each.finished),
            "-" if each.end is None else render_instant(each.end),
            each.rows,
            each.changed,
            each.removed,
        )
        for each in pulls
    )
    header = ("pull into", "from", "finished", "until", "rows", "changed", "removed")
    echo_table(header, rows, numbers=range(4, 7))
    for each in pulls:
        if each.failed is not None:
            line = (
                f"{each.owner}: failed at {render_instant(each.failed)}: {each.problem}"
            )
            click.echo(printable(line))


@source.command("remove", short_help="Remove a source")
@SOURCE_NAME
@YES
@state_options
def remove_source(name: str, yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Remove the source NAME. The bounces that it added stay on the list."""
    with open_control() as control:
        found = next((each for each in control.sources() if each.name == name), None)
        if found is None:
            raise UnknownNameError("source", name)
        listed = pluralize(found.counts.listed, "event")
        confirm(
            f"Remove the source {name} of {found.owner} ({listed} listed)?", yes=yes
        )
        control.remove_source(name)
    click.echo(f"removed {name}")


@source.command("test", short_help="Verify a captured request")
@SOURCE_NAME
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@database_option
def check_request(name: str, file: str) -> None:
    """Verify and read the request in FILE (- for stdin) as the source NAME would.

    FILE is an HTTP request as it was sent: header fields, an empty line, and the body.
    Nothing is stored, and no server is needed. The exit code is 1 if the source would
    refuse the request.
    """
    reject_server()
    from sendgrid_bounces.cli.captures import describe_request

    with open_local() as emulator, open_binary(file) as stream:
        found = emulator.storage.sources.get(name)
        for line in describe_request(emulator, found, stream.read()):
            click.echo(printable(line))


def _notes(source: SourceReport) -> list[str]:
    """Return the lines about *source* below the table."""
    notes = []
    if source.last_problem is not None:
        when = render_instant(source.last_problem)
        notes.append(f"latest problem at {when}: {source.problem}")
    if source.confirm_url:
        notes.append(f"open this URL to confirm the subscription: {source.confirm_url}")
    return notes
