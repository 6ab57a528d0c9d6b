"""The control service that a command works with: of a database, or of a server."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from sendgrid_bounces.cli.doubts import echo_warning
from sendgrid_bounces.cli.options import command_config, server_url
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import AbsentError
from sendgrid_bounces.core.hosts import is_loopback

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

        control = RemoteControl(url, config.control_token, config.ssl_cert)
        if config.control_token:
            _warn_if_readable(url)
        yield control
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


def _warn_if_readable(url: str) -> None:
    """Warn if other machines can read the control token on its way to *url*."""
    parts = urlsplit(url)
    host = str(parts.hostname)
    if parts.scheme == "http" and not is_loopback(host):
        echo_warning(f"the control token is sent to {host} in clear text; use https://")


def _advice(port: int) -> str:
    """Return how to continue without a database.

    :param port: where a server may listen.
    """
    from sendgrid_bounces.cli.remote import find_server

    if url := find_server(port):
        return f"a server answers at {url}: use --url {url}"
    return "run init-db first, or choose another database with --database"
