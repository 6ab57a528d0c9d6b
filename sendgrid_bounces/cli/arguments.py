"""Arguments and options that name something, which the shell can complete."""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sendgrid_bounces.cli.options import Decorator, command_config, server_url
from sendgrid_bounces.core.errors import BounceError, ParametersError
from sendgrid_bounces.core.requests import status_range
from sendgrid_bounces.core.times import parse_duration, parse_instant

if TYPE_CHECKING:
    from sendgrid_bounces.cli.remote import RemoteControl
    from sendgrid_bounces.storage.database import Storage

#: A name that no shell interprets, and that is no option.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.@][A-Za-z0-9_.@+/-]*")

Parsed = TypeVar("Parsed")
Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def _completer(
    of_database: Callable[["Storage"], Iterable[str]],
    of_server: Callable[["RemoteControl"], Iterable[str]],
) -> Completer:
    """Return a function that completes names.

    A shell inserts a name as it is, so names with special characters of shells are left
    out: with ``--auth any``, strangers choose names. A database is opened without the
    control service, to avoid its slow import.
    """

    def complete(context: click.Context, _: click.Parameter, start: str) -> list[str]:
        try:
            with context.scope(cleanup=False):
                names = _read_names(of_database, of_server)
        except (BounceError, click.ClickException, OSError):
            return []
        return [n for n in names if n.startswith(start) and _PLAIN_NAME.fullmatch(n)]

    return complete


def _read_names(
    of_database: Callable[["Storage"], Iterable[str]],
    of_server: Callable[["RemoteControl"], Iterable[str]],
) -> list[str]:
    config, url = command_config(), server_url()
    if url is not None:
        from sendgrid_bounces.cli.remote import RemoteControl

        server = RemoteControl(url, config.control_token, config.ssl_cert)
        return [*of_server(server)]
    from contextlib import closing

    from sendgrid_bounces.storage.database import open_storage

    with closing(open_storage(config.database_url, create=False)) as storage:
        return [*of_database(storage)]


_account_names = _completer(
    lambda storage: (found.username for found in storage.accounts.all()),
    lambda server: (found.name for found in server.accounts()),
)
_domain_names = _completer(
    lambda storage: (found.name for found in storage.accounts.domains()),
    lambda server: (found.name for found in server.domains()),
)
_snapshot_names = _completer(
    lambda storage: (found.name for found in storage.snapshots.all()),
    lambda server: (found.name for found in server.snapshots()),
)

_source_names = _completer(
    lambda storage: (found.name for found in storage.sources.all()),
    lambda server: (found.name for found in server.sources()),
)


def _owner_names(
    context: click.Context, parameter: click.Parameter, start: str
) -> list[str]:
    return [
        *_account_names(context, parameter, start),
        *_domain_names(context, parameter, start),
    ]


#: The name of something new.
NAME = click.argument("name")

ACCOUNT = click.argument("account", shell_complete=_account_names)
ACCOUNT_NAME = click.argument("name", shell_complete=_account_names)
DOMAIN_NAME = click.argument("name", shell_complete=_domain_names)
SOURCE_NAME = click.argument("name", shell_complete=_source_names)
SNAPSHOT_NAME = click.argument("name", shell_complete=_snapshot_names)
OWNER = click.argument("owner", shell_complete=_owner_names)


def read_instant(_context: object, _option: object, text: str | None) -> int | None:
    """Return the instant in an argument or option; a callback.

    :raises BadParameter: if *text* is not a time.
    """
    return None if text is None else _read(parse_instant, text)


def read_duration(_context: object, _option: object, text: str) -> int:
    """Return the seconds of a duration in an argument or option; a callback.

    :raises BadParameter: if *text* is not a duration.
    """
    return _read(parse_duration, text)


def read_status(_context: object, _option: object, text: str | None) -> str | None:
    """Return the status or class of statuses in an option; a callback.

    :raises BadParameter: if *text* is neither.
    """
    if text is not None:
        _read(status_range, text)
    return text


def _read(parse: Callable[[str], Parsed], text: str) -> Parsed:
    try:
        return parse(text)
    except ParametersError as error:
        raise click.BadParameter(error.problems[0][1]) from None


def account_option(*flags: str, **options: Any) -> Decorator:
    """Return a decorator that adds an option for the name of an account."""
    return click.option(*flags, shell_complete=_account_names, **options)


def owner_option(*flags: str, **options: Any) -> Decorator:
    """Return a decorator that adds an option for an account or a domain."""
    return click.option(*flags, shell_complete=_owner_names, **options)
