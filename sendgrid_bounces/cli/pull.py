"""The command ``bounces pull``: copy the bounces of a live SendGrid account."""

import os
import signal
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from sendgrid_bounces.cli.arguments import OWNER
from sendgrid_bounces.cli.connection import open_local
from sendgrid_bounces.cli.groups import Command
from sendgrid_bounces.cli.options import database_option, reject_server
from sendgrid_bounces.cli.progress import share_bar
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import BounceError, ParametersError
from sendgrid_bounces.core.messages import pluralize
from sendgrid_bounces.core.times import parse_duration, parse_time, render_instant
from sendgrid_bounces.core.timezones import DAY, time_zone

if TYPE_CHECKING:
    from sendgrid_bounces.core.pulls import Pull
    from sendgrid_bounces.emulator import Emulator
    from sendgrid_bounces.receiving.pulls import Options
    from sendgrid_bounces.sources.pull import Reader

KEY_VARIABLE = "SENDGRID_API_KEY"

#: The longest pause after failures in seconds; the first one is that of ``--every``.
MAX_BACKOFF = 60 * 60

#: The longest pause of ``--every`` in seconds.
MAX_INTERVAL = 366 * DAY


@click.command("pull", cls=Command, short_help="Copy the bounces of a live account")
@OWNER
@click.option(
    "--from",
    "service",
    type=click.Choice(["sendgrid"]),
    required=True,
    help="The provider of the account.",
)
@click.option(
    "--since", metavar="TIME", help="Read bounces since a date or time (UTC)."
)
@click.option("--blocks", is_flag=True, help="Also read the blocks: soft bounces.")
@click.option(
    "--full",
    is_flag=True,
    help="Read everything, and remove bounces that are gone at the provider.",
)
@click.option("--dry-run", is_flag=True, help="Count the rows and change nothing.")
@click.option(
    "--every", metavar="DURATION", help="Repeat after this pause, such as 10m."
)
@click.option(
    "--api-url", metavar="URL", help="The API, if it is not https://api.sendgrid.com."
)
@click.option(
    "--key-file", type=click.Path(dir_okay=False), help="File with the API key."
)
@click.option(
    "--key-variable",
    metavar="NAME",
    default=KEY_VARIABLE,
    show_default=True,
    help="Environment variable with the API key.",
)
@database_option
def pull_bounces(
    owner: str,
    service: str,
    since: str | None,
    blocks: bool,  # noqa: FBT001 - click passes options by name
    full: bool,  # noqa: FBT001 - click passes options by name
    dry_run: bool,  # noqa: FBT001 - click passes options by name
    every: str | None,
    api_url: str | None,
    key_file: str | None,
    key_variable: str,
) -> None:
    """Copy the bounces of a live account into the list of OWNER.

    Only GET requests are sent. Without --since and --full, a pull continues where the
    latest one ended. The API key needs the scope suppression.bounces.read; it is read
    from a file, a variable or, at a terminal, a prompt.
    """
    del service  # there is only one
    reject_server()
    if since is not None and full:
        raise click.UsageError("--since cannot be combined with --full")
    interval = None if every is None else _read_interval(every)
    from sendgrid_bounces.receiving.pulls import Options
    from sendgrid_bounces.sources.pull import API_URL, Reader

    options = Options(
        since=None if since is None else _read_time(since),
        has_blocks=blocks,
        is_full=full,
        is_dry_run=dry_run,
    )
    key = _read_key(key_file, key_variable)
    with open_local() as emulator:
        emulator.storage.accounts.named_list(owner)
        with closing(Reader(key, api_url or API_URL)) as reader:
            if interval is None:
                click.echo(_summary(_pull(emulator, owner, reader, options), dry_run))
            else:
                _repeat(emulator, owner, reader, options, interval)


def _pull(
    emulator: "Emulator", owner: str, reader: "Reader", options: "Options"
) -> "Pull":
    """Pull once, with a progress bar at a terminal."""
    from sendgrid_bounces.receiving.pulls import pull

    with share_bar(f"Pulling {owner}") as progress:
        storage, clock = emulator.storage, emulator.clock
        return pull(storage, owner, reader, options, clock, progress)


def _repeat(
    emulator: "Emulator",
    owner: str,
    reader: "Reader",
    options: "Options",
    interval: int,
) -> None:
    """Pull again and again until SIGINT or SIGTERM; wait longer after failures.

    A signal ends a pull, of which each window is a transaction.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        _repeat_for_ever(emulator, owner, reader, options, interval)


def _repeat_for_ever(
    emulator: "Emulator",
    owner: str,
    reader: "Reader",
    options: "Options",
    interval: int,
) -> NoReturn:
    pause = interval
    while True:
        try:
            done = _pull(emulator, owner, reader, options)
        except BounceError as error:
            pause = min(pause * 2, max(MAX_BACKOFF, interval))
            now = render_instant(Clock().now())
            click.echo(f"{now} Error: {error}; next pull in {pause} s", err=True)
        else:
            pause = interval
            now = render_instant(Clock().now())
            click.echo(f"{now} {_summary(done, options.is_dry_run)}")
        sys.stdout.flush()
        time.sleep(pause)


def _summary(done: "Pull", is_dry_run: bool) -> str:  # noqa: FBT001 - one caller
    """Return the result of a pull in one line."""
    rows = pluralize(done.rows, "row")
    if is_dry_run:
        return f"read {rows}, changed nothing (dry run)"
    return f"read {rows}, changed {done.changed:,}, removed {done.removed:,}"


def _read_key(file: str | None, variable: str) -> str:
    """Return the API key from *file*, from *variable*, or from a prompt."""
    if file is not None:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:  # the name could be the key itself
            raise click.ClickException(f"--key-file: {error.strerror}") from None
        except UnicodeError:
            raise click.ClickException("--key-file: not UTF-8 text") from None
    if key := os.environ.get(variable, "").strip():
        return key
    if sys.stdin is None or not sys.stdin.isatty():
        # Another name could be the key itself.
        shown = variable if variable == KEY_VARIABLE else "that --key-variable names"
        raise click.UsageError(
            f"no API key: set the variable {shown} or give --key-file FILE"
        )
    return str(click.prompt("SendGrid API key", hide_input=True))


def _read_interval(text: str) -> int:
    try:
        seconds = parse_duration(text)
    except ParametersError as error:
        raise click.UsageError(f"--every: {error.problems[0][1]}") from None
    if not 1 <= seconds <= MAX_INTERVAL:
        raise click.UsageError("--every: must be from 1 second to 366 days")
    return seconds


def _read_time(text: str) -> int:
    """Return the instant of a time, or the first instant of a date, in UTC."""
    try:
        return max(parse_time(text, time_zone("UTC")), 0)
    except ValueError as error:
        raise click.UsageError(f"--since: {error} (got {text!r})") from None
