"""Commands that act on the database of a server that has control endpoints."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import click

from sendgrid_bounces.app import DIALECTS, open_emulator
from sendgrid_bounces.cli.files import open_input
from sendgrid_bounces.cli.main import (
    command_config,
    database_option,
    pluralize,
    printable,
    seed_option,
)
from sendgrid_bounces.control.service import ClockReading, Control
from sendgrid_bounces.core.clock import (
    Clock,
    parse_duration,
    parse_instant,
    render_instant,
)
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.schemas.faults import dialect_names, operation_names
from sendgrid_bounces.schemas.loader import parse
from sendgrid_bounces.schemas.requests import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    MAX_STATUS,
    MIN_STATUS,
)
from sendgrid_bounces.storage.contents import Counts

#: The operations that options can name, by dialect.
OPERATIONS = {dialect.name: dialect.operations for dialect in DIALECTS}

NAME = click.argument("name")
YES = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


@contextmanager
def open_control(*, create: bool = False) -> Iterator[Control]:
    """Open the database for one command.

    :param create: whether to create a database that does not exist.
    """
    config = replace(command_config(), control=True)
    emulator = open_emulator(config, Clock(), create=create)
    with closing(emulator.storage):
        yield Control(emulator)


@click.command(short_help="Erase everything and load the seed files")
@click.option(
    "--to",
    type=click.Choice(["seed", "empty"]),
    default="seed",
    help="Whether to load the seed files (the default) or to leave nothing.",
)
@click.option(
    "--account",
    metavar="NAME",
    help="Reset only this account, or this domain if there is no such account.",
)
@seed_option("A seed file to load; may be repeated.")
@YES
@database_option
def reset(
    to: str,
    account: str | None,
    yes: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Erase accounts, domains, bounces, fault rules, request log and clock settings.

    Then load the seed files. Snapshots are kept.
    """
    empty = to == "empty"
    seeds = command_config().seed
    with open_control(create=bool(seeds)) as control:
        if not yes:
            target = account or _render_counts(control.counts())
            files = pluralize(0 if empty else len(seeds), "seed file")
            click.confirm(f"Remove {target}, then load {files}?", abort=True)
        if account is None:
            counts = control.reset(empty=empty)
        else:
            counts = control.reset_account(account, empty=empty)
        _echo_counts(counts)


@click.command(short_help="Load seed files")
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@database_option
def seed(files: tuple[str, ...]) -> None:
    """Load the seed FILES (- for stdin) in the given order.

    Existing accounts, domains and bounces are kept.
    """
    with open_control(create=True) as control:
        for file in files:
            with open_input(file) as text, _naming(file):
                counts = control.seed(text.read())
        _echo_counts(counts)


@click.group(short_help="Show, freeze or advance the clock")
def clock() -> None:
    """Show, freeze or advance the clock of servers that have control endpoints."""


@clock.command("show", short_help="Show the time")
@database_option
def show_clock() -> None:
    """Show the time and whether the clock is frozen."""
    with open_control() as control:
        _echo_clock(control.clock())


@clock.command("freeze", short_help="Freeze the clock")
@click.argument("instant", required=False)
@database_option
def freeze_clock(instant: str | None) -> None:
    """Freeze the clock at INSTANT, such as 2012-02-15T12:00:00Z, or at the present."""
    with open_control(create=True) as control:
        _echo_clock(control.freeze(None if instant is None else parse_instant(instant)))


@clock.command("advance", short_help="Advance the clock")
@click.argument("duration")
@database_option
def advance_clock(duration: str) -> None:
    """Advance the clock by an ISO 8601 DURATION, such as PT1H or P1DT12H."""
    with open_control(create=True) as control:
        _echo_clock(control.advance(parse_duration(duration)))


@clock.command("reset", short_help="Return to the system time")
@database_option
def reset_clock() -> None:
    """Return the clock to the system time."""
    with open_control() as control:
        control.reset_clock()
    click.echo("the clock shows the system time")


@click.group(short_help="Save and restore the state by name")
def snapshot() -> None:
    """Save, restore, list and remove named snapshots of the state.

    A snapshot holds accounts, domains, bounces and the clock.
    """


@snapshot.command("list", short_help="List snapshots")
@database_option
def list_snapshots() -> None:
    """List all snapshots by name."""
    with open_control() as control:
        click.echo(f"{'snapshot':<32} {'created':<20} {'accounts':<8} bounces")
        for found in control.snapshots():
            created = render_instant(found.created)
            line = f"{found.name:<32} {created:<20} {found.accounts:<8} {found.bounces}"
            click.echo(line)


@snapshot.command("save", short_help="Save the state")
@NAME
@database_option
def save_snapshot(name: str) -> None:
    """Save the state as the snapshot NAME, replacing an existing one."""
    with open_control() as control:
        saved = control.take_snapshot(name)
    counts = Counts(saved.accounts, saved.domains, saved.bounces)
    click.echo(f"saved {_render_counts(counts)}")


@snapshot.command("restore", short_help="Restore a snapshot")
@NAME
@YES
@database_option
def restore_snapshot(name: str, yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Replace the state by the snapshot NAME."""
    with open_control() as control:
        if not yes:
            counts = _render_counts(control.counts())
            click.confirm(f"Remove {counts}, then restore {name}?", abort=True)
        _echo_counts(control.restore_snapshot(name))


@snapshot.command("remove", short_help="Remove a snapshot")
@NAME
@database_option
def remove_snapshot(name: str) -> None:
    """Remove the snapshot NAME."""
    with open_control() as control:
        control.remove_snapshot(name)
    click.echo(f"removed {name}")


@click.group(short_help="Inject faults into responses")
def fault() -> None:
    """Add, list and remove fault rules, for servers that have control endpoints."""


@fault.command("add", short_help="Add fault rules")
@click.argument("rule")
@database_option
def add_faults(rule: str) -> None:
    """Add RULE: a fault rule or a list of rules.

    RULE is JSON text, or the path of a JSON or YAML file (- for stdin).
    """
    with open_control(create=True) as control:
        if rule.lstrip()[:1] in ("{", "["):
            added = control.add_faults(parse(rule))
        else:
            with open_input(rule) as text, _naming(rule):
                added = control.add_faults(parse(text.read()))
    for id_ in added:
        click.echo(f"added fault {id_}")


@fault.command("list", short_help="List fault rules")
@database_option
def list_faults() -> None:
    """List the fault rules in the order in which they are tried."""
    with open_control() as control:
        click.echo("fault  matched  triggered  rule")
        for found in control.faults():
            rule = json.dumps(found.rule.as_dict(), ensure_ascii=False)
            line = f"{found.id:<6} {found.matched:<8} {found.triggered:<10} {rule}"
            click.echo(printable(line))


@fault.command("remove", short_help="Remove a fault rule")
@click.argument("number", type=int)
@database_option
def remove_fault(number: int) -> None:
    """Remove the fault rule NUMBER of `fault list`."""
    with open_control() as control:
        control.remove_fault(number)
    click.echo(f"removed fault {number}")


@fault.command("clear", short_help="Remove all fault rules")
@database_option
def clear_faults() -> None:
    """Remove all fault rules."""
    with open_control() as control:
        removed = control.clear_faults()
    click.echo(f"removed {pluralize(removed, 'fault')}")


def _instant(_context: object, _option: object, text: str | None) -> int | None:
    """Return the instant in the value of an option."""
    try:
        return None if text is None else parse_instant(text)
    except ParametersError as error:
        raise click.BadParameter(error.problems[0][1]) from None


@click.group(short_help="List or clear the request log")
def requests() -> None:
    """List or clear the request log of servers that have control endpoints."""


@requests.command("list", short_help="List logged requests")
@click.option("--account", help="Only requests of this account.")
@click.option("--domain", help="Only requests for this domain.")
@click.option(
    "--operation",
    type=click.Choice(operation_names(OPERATIONS)),
    help="Only requests for this operation.",
)
@click.option(
    "--dialect",
    type=click.Choice(dialect_names(OPERATIONS)),
    help="Only requests in this dialect, or to this vendor.",
)
@click.option(
    "--status",
    type=click.IntRange(MIN_STATUS, MAX_STATUS),
    help="Only requests with this response status.",
)
@click.option(
    "--since",
    callback=_instant,
    help="Only requests since an instant such as 2012-02-15T12:00:00Z.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_LIMIT),
    default=DEFAULT_LIMIT,
    show_default=True,
    help="At most this many requests, the latest ones.",
)
@database_option
def list_requests(limit: int, **filters: Any) -> None:
    """List the latest requests that match all options, oldest first."""
    with open_control() as control:
        for entry in control.requests(limit, **filters):
            click.echo(printable(_render_request(entry)))


@requests.command("clear", short_help="Remove all logged requests")
@database_option
def clear_requests() -> None:
    """Remove all requests from the request log."""
    with open_control() as control:
        removed = control.clear_requests()
    click.echo(f"removed {pluralize(removed, 'request')}")


@contextmanager
def _naming(file: str) -> Iterator[None]:
    """Prefix validation errors with the name of *file*."""
    try:
        yield
    except ParametersError as error:
        raise error.within(file, ": ") from None


def _render_counts(counts: Counts) -> str:
    accounts = pluralize(counts.accounts, "account")
    domains = pluralize(counts.domains, "domain")
    return f"{accounts}, {domains} and {pluralize(counts.bounces, 'bounce')}"


def _echo_counts(counts: Counts) -> None:
    click.echo(f"the database has {_render_counts(counts)}")


def _echo_clock(reading: ClockReading) -> None:
    frozen = " (frozen)" if reading.frozen else ""
    click.echo(f"{render_instant(reading.now)}{frozen}")


def _render_request(entry: LoggedRequest) -> str:
    """Return *entry* as one line, with a dash for each unknown value."""
    fields = (
        render_instant(entry.time),
        f"{entry.status or '-'!s:<3}",
        f"{entry.dialect} {entry.operation or '-'}",
        entry.account or "-",
        f"{entry.method} {entry.path}",
        json.dumps(entry.parameters, ensure_ascii=False),
    )
    changed = () if entry.rows is None else (f"changed {entry.rows}",)
    match = () if entry.fault is None else (f"fault {entry.fault}",)
    return "  ".join((*fields, *changed, *match))
