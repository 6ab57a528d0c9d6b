"""The root command. The module of a command is imported only when the command runs."""

import os
import platform

import click

from sendgrid_bounces import __version__
from sendgrid_bounces.cli.errors import OneLineErrors
from sendgrid_bounces.cli.options import state_options

_PACKAGE = "sendgrid_bounces.cli"

#: The place and the short help of each command.
COMMANDS = {
    name: (f"{_PACKAGE}.{place}", short_help)
    for name, place, short_help in (
        ("serve", "serve:serve", "Run the server"),
        ("health", "health:health", "Check that a server answers"),
        ("init-db", "init_db:init_db", "Create the database"),
        ("account", "accounts:account", "Manage accounts and their API keys"),
        ("domain", "domains:domain", "Manage the Mailgun domains of accounts"),
        ("bounces", "bounces:bounces", "Manage the bounces of an account or domain"),
        ("source", "sources:source", "Manage sources of real bounces"),
        ("seed", "contents:seed", "Load seed files"),
        ("reset", "contents:reset", "Erase everything and load the seed files"),
        ("snapshot", "snapshots:snapshot", "Save and restore the state by name"),
        ("backup", "backups:backup", "Copy the database to a file"),
        ("restore", "backups:restore", "Replace everything by a backup"),
        ("clock", "clock:clock", "Show, set, freeze or advance the clock"),
        ("fault", "faults:fault", "Inject faults into responses"),
        ("requests", "requests:requests", "List, show or clear the request log"),
        (
            "migration-report",
            "migration:migration_report",
            "Show how to replace v2 calls by v3",
        ),
        ("completion", "completion:completion", "Print a script for shell completion"),
    )
}


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - the signature of a callback
    """Print the versions of the program, of Python and of the databases, and exit."""
    if not value or context.resilient_parsing:
        return
    import sqlite3
    from importlib.metadata import PackageNotFoundError, version

    try:
        mysql = f"PyMySQL {version('PyMySQL')}"
    except PackageNotFoundError:
        mysql = "no PyMySQL"
    click.echo(
        f"sendgrid-bounces {__version__} (Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {mysql})"
    )
    context.exit()


@click.group(
    cls=OneLineErrors,
    sources=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the versions of the program, Python and the databases.",
)
@state_options
@click.pass_context
def main(context: click.Context) -> None:
    """Emulate the bounce APIs of SendGrid and Mailgun, with real state.

    Settings can also be given as environment variables, which the help of each option
    names, or in a settings file.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
