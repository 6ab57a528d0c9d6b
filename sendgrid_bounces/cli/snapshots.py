"""Commands for snapshots."""

import click

from sendgrid_bounces.cli.arguments import NAME, SNAPSHOT_NAME
from sendgrid_bounces.cli.confirmation import YES, confirm
from sendgrid_bounces.cli.connection import open_control
from sendgrid_bounces.cli.contents import echo_counts
from sendgrid_bounces.cli.groups import CommandGroup
from sendgrid_bounces.cli.options import JSON, state_options
from sendgrid_bounces.cli.output import echo_json, echo_table
from sendgrid_bounces.control.documents import render_counts, render_snapshot
from sendgrid_bounces.core.contents import enumerate_contents, find_snapshot
from sendgrid_bounces.core.times import render_instant


@click.group(cls=CommandGroup)
@state_options
def snapshot() -> None:
    """Save, restore, list and remove named snapshots of the state.

    A snapshot holds accounts, domains, bounces and the clock.
    """


@snapshot.command("list", short_help="List snapshots")
@JSON
@state_options
def list_snapshots(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List all snapshots by name."""
    with open_control() as control:
        found = control.snapshots()
    if as_json:
        echo_json({"snapshots": [render_snapshot(each) for each in found]})
        return
    rows = (
        (s.name, render_instant(s.created), s.accounts, s.domains, s.bounces)
        for s in found
    )
    header = ("snapshot", "created", "accounts", "domains", "bounces")
    echo_table(header, rows, numbers=(2, 3, 4))


@snapshot.command("save", short_help="Save the state")
@NAME
@JSON
@state_options
def save_snapshot(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Save the state as the snapshot NAME, replacing an existing one."""
    with open_control() as control:
        saved = control.take_snapshot(name)
    if as_json:
        echo_json(render_snapshot(saved))
    else:
        click.echo(f"saved {enumerate_contents(saved)}")


@snapshot.command("restore", short_help="Restore a snapshot")
@SNAPSHOT_NAME
@JSON
@YES
@state_options
def restore_snapshot(name: str, as_json: bool, yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Replace the state by the snapshot NAME."""
    with open_control() as control:
        saved = find_snapshot(control.snapshots(), name)
        now, then = enumerate_contents(control.counts()), enumerate_contents(saved)
        confirm(f"Remove {now}, then restore {name} ({then})?", yes=yes)
        counts = control.restore_snapshot(name)
    if as_json:
        echo_json(render_counts(counts))
    else:
        echo_counts(counts)


@snapshot.command("remove", short_help="Remove a snapshot")
@SNAPSHOT_NAME
@YES
@state_options
def remove_snapshot(name: str, yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Remove the snapshot NAME."""
    with open_control() as control:
        contents = enumerate_contents(find_snapshot(control.snapshots(), name))
        confirm(f"Remove the snapshot {name} ({contents})?", yes=yes)
        control.remove_snapshot(name)
    click.echo(f"removed {name}")
