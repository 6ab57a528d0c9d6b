"""Commands for the clock."""

import click

from sendgrid_bounces.cli.arguments import read_duration, read_instant
from sendgrid_bounces.cli.connection import open_control
from sendgrid_bounces.cli.groups import CommandGroup
from sendgrid_bounces.cli.options import JSON, state_options
from sendgrid_bounces.cli.output import echo_json
from sendgrid_bounces.control.documents import ClockReading, render_clock
from sendgrid_bounces.core.times import render_instant


@click.group(cls=CommandGroup)
@state_options
def clock() -> None:
    """Show, set, freeze or advance the clock of servers with control endpoints."""


@clock.command("show", short_help="Show the time")
@JSON
@state_options
def show_clock(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Show the time and whether the clock is frozen."""
    with open_control() as control:
        _echo(control.clock(), as_json=as_json)


@clock.command("set", short_help="Set the clock, and let it run")
@click.argument("instant", callback=read_instant)
@JSON
@state_options
def set_clock(instant: int, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Set the clock to INSTANT, such as 2012-02-15T12:00:00Z, and let it run."""
    with open_control() as control:
        _echo(control.set_clock(instant), as_json=as_json)


@clock.command("freeze", short_help="Freeze the clock")
@click.argument("instant", required=False, callback=read_instant)
@JSON
@state_options
def freeze_clock(instant: int | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Freeze the clock at INSTANT, such as 2012-02-15T12:00:00Z, or at the present."""
    with open_control() as control:
        _echo(control.freeze(instant), as_json=as_json)


@clock.command("advance", short_help="Advance the clock")
@click.argument("duration", callback=read_duration)
@JSON
@state_options
def advance_clock(duration: int, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Advance the clock by DURATION, such as PT1H, 1h30m, 2d or 90 (seconds)."""
    with open_control() as control:
        _echo(control.advance(duration), as_json=as_json)


@clock.command("reset", short_help="Return to the system time")
@JSON
@state_options
def reset_clock(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Return the clock to the system time."""
    with open_control() as control:
        reading = control.reset_clock()
    if as_json:
        echo_json(render_clock(reading))
    else:
        click.echo("the clock shows the system time")


def _echo(reading: ClockReading, *, as_json: bool) -> None:
    if as_json:
        echo_json(render_clock(reading))
    else:
        frozen = " (frozen)" if reading.frozen else ""
        click.echo(f"{render_instant(reading.now)}{frozen}")
