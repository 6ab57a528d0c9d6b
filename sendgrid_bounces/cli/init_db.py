"""Create the database."""

from contextlib import closing

import click

from sendgrid_bounces.cli.groups import Command
from sendgrid_bounces.cli.options import command_config, database_option, reject_server


@click.command(cls=Command)
@click.option(
    "--create",
    is_flag=True,
    help="Create the database on the MariaDB or MySQL server first.",
)
@database_option
def init_db(create: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Create the tables of the database, unless they exist.

    An SQLite file is created with them.
    """
    from sendgrid_bounces.storage.database import create_database, open_storage

    reject_server()
    url = command_config().database_url
    if create:
        create_database(url)
    with closing(open_storage(url)) as storage:
        click.echo(f"{storage.engine} is ready")
