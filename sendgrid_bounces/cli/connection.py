"""The control service that a command works with: of a database, or of a server."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from sendgrid_bounces.cli.options import command_config, server_url
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import AbsentError

if TYPE_CHECKING:
    from sendgrid_bounces.cli.remote import RemoteControl
    from sendgrid_bounces.control.service import Control
    from sendgrid_bounces.emulator import Emulator


@contextmanager
def open_control(*, create: bool = False) -> "Iterator[Control | RemoteControl]":
    """Open the control service for one command.

    :param create: whether to create a database that does not exist. A command that only
        reads, changes or removes does not, since the path is then probably mistyped.
    """
    config, url = command_config(), server_url()
    if url is not None:
        from sendgrid_bounces.cli.remote import RemoteControl

        yield RemoteControl(url, config.control_token, config.ssl_cert)
        return
    from sendgrid_bounces.control.service import Control

    with open_local(create=create) as emulator:
        yield Control(emulator)


@contextmanager
def open_local(*, create: bool = False) -> "Iterator[Emulator]":
    """Open the emulator on the database of the current command.

    :param create: see :func:`open_control`.
    """
    from sendgrid_bounces.app import open_emulator

    config = replace(command_config(), control=True)
    try:
        emulator = open_emulator(config, Clock(), create=False)
    except AbsentError as error:
        if not create:
            raise AbsentError(f"{error}; {_advice(config.port)}") from None
        emulator = open_emulator(config, Clock())
        click.echo(f"Created the {emulator.storage.engine}", err=True)
    with closing(emulator.storage):
        yield emulator


def _advice(port: int) -> str:
    """Return how to continue without a database.

    :param port: where a server may listen.
    """
    from sendgrid_bounces.cli.remote import find_server

    if url := find_server(port):
        return f"a server answers at {url}: use --url {url}"
    return "create it with init-db, or choose another with --database"
