"""Reset, seed, clock and snapshots on the command line: on the database itself."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import click

from sendgrid_bounces.app import open_emulator
from sendgrid_bounces.cli.files import reading
from sendgrid_bounces.cli.main import database_option, load_config, seed_option
from sendgrid_bounces.control.service import ClockReading, Control
from sendgrid_bounces.core.clock import (
    Clock,
    parse_duration,
    parse_instant,
    render_instant,
)
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.storage.contents import Counts

NAME = click.argument("name")


@contextmanager
def open_control(
    database: str, seeds: tuple[str, ...] = (), *, create: bool = False
) -> Iterator[Control]:
    """Open the database for one command that controls it; see `opened`."""
    values = load_config(DATABASE_URL=database, CONTROL="on")
    emulator = open_emulator(values, Clock(), seeds, create=create)
    with closing(emulator.storage):
        yield Control(emulator)


@click.command()
@click.option(
    "--to",
    type=click.Choice(["seed", "empty"]),
    default="seed",
    help="Back to the seed files (the default), or to nothing.",
)
@click.option("--account", metavar="NAME", help="Only this account, or else domain.")
@seed_option("A seed file to go back to; may be given often.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
def reset(
    to: str,
    account: str | None,
    seeds: tuple[str, ...],
    yes: bool,  # noqa: FBT001 - click passes options by name
    database: str,
) -> None:
    """Go back to the seed files: accounts, domains, bounces, the clock and faults.

    What they do not hold is removed, and the journal is emptied; without any, nothing
    is left. Snapshots stay.
    """
    empty = to == "empty"
    with open_control(database, seeds, create=bool(seeds)) as control:
        if not yes:
            what = account or _written(control.counts())
            files = 0 if empty else len(seeds)
            question = f"Remove {what}, and plant {files} seed files?"
            click.confirm(question, abort=True)
        if account is None:
            counts = control.reset(empty=empty)
        else:
            counts = control.reset_account(account, empty=empty)
        click.echo(f"now there are {_written(counts)}")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@database_option
def seed(files: tuple[str, ...], database: str) -> None:
    """Add what seed FILES (- for stdin) hold, one after the other."""
    with open_control(database, create=True) as control:
        for file in files:
            with reading(file) as text:
                try:
                    counts = control.seed(text.read())
                except ParametersError as error:
                    raise error.within(file, ": ") from None
        click.echo(f"now there are {_written(counts)}")


@click.group()
def clock() -> None:
    """Show and set the clock of servers whose control endpoints are on."""


@clock.command()
@database_option
def show(database: str) -> None:
    """Show the time, and whether it stands."""
    with open_control(database) as control:
        _echo(control.clock())


@clock.command()
@click.argument("instant", required=False)
@database_option
def freeze(instant: str | None, database: str) -> None:
    """Let the clock stand at INSTANT, as 2012-02-15T12:00:00Z; now if absent."""
    with open_control(database, create=True) as control:
        _echo(control.freeze(None if instant is None else parse_instant(instant)))


@clock.command()
@click.argument("duration")
@database_option
def advance(duration: str, database: str) -> None:
    """Put the clock forward by an ISO 8601 DURATION, as PT1H or P1DT12H."""
    with open_control(database, create=True) as control:
        _echo(control.advance(parse_duration(duration)))


@clock.command("reset")
@database_option
def reset_clock(database: str) -> None:
    """Let the clock show the system's time."""
    with open_control(database) as control:
        control.reset_clock()
    click.echo("the clock shows the system's time")


@click.group()
def snapshot() -> None:
    """Keep the state under a name, and go back to it."""


@snapshot.command("list")
@database_option
def list_(database: str) -> None:
    """List the snapshots."""
    with open_control(database) as control:
        click.echo(f"{'snapshot':<32} {'created':<20} {'accounts':<8} bounces")
        for found in control.snapshots():
            created = render_instant(found.created)
            line = f"{found.name:<32} {created:<20} {found.accounts:<8} {found.bounces}"
            click.echo(line)


@snapshot.command()
@NAME
@database_option
def save(name: str, database: str) -> None:
    """Keep accounts, domains, bounces and the clock under NAME."""
    with open_control(database) as control:
        saved = control.take_snapshot(name)
    amounts = Counts(saved.accounts, saved.domains, saved.bounces)
    click.echo(f"saved {_written(amounts)}")


@snapshot.command()
@NAME
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
def restore(name: str, yes: bool, database: str) -> None:  # noqa: FBT001
    """Go back to the snapshot NAME."""
    with open_control(database) as control:
        if not yes:
            what = _written(control.counts())
            click.confirm(f"Remove {what}, and go back to {name}?", abort=True)
        counts = control.restore_snapshot(name)
    click.echo(f"now there are {_written(counts)}")


@snapshot.command()
@NAME
@database_option
def remove(name: str, database: str) -> None:
    """Remove the snapshot NAME."""
    with open_control(database) as control:
        control.remove_snapshot(name)
    click.echo(f"removed {name}")


def _written(counts: Counts) -> str:
    return (
        f"{counts.accounts} accounts, {counts.domains} domains "
        f"and {counts.bounces} bounces"
    )


def _echo(reading: ClockReading) -> None:
    stands = " (frozen)" if reading.frozen else ""
    click.echo(f"{render_instant(reading.now)}{stands}")
