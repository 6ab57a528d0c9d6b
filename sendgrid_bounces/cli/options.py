"""Options that commands share, and the settings that they are read into."""

import os
from collections.abc import Callable, Collection
from typing import Any, cast

import click
from click.core import ParameterSource

from sendgrid_bounces.cli.groups import blame_options
from sendgrid_bounces.cli.process_arguments import hide_passwords
from sendgrid_bounces.config import (
    FILE,
    SETTINGS,
    URL,
    VARIABLE_PREFIX,
    Config,
    load_config,
)
from sendgrid_bounces.core.errors import ParametersError

Decorator = Callable[[Any], Any]

#: The key of the settings of a command in the ``meta`` of its context.
_CONFIG = f"{__name__}.config"

#: The names under which the options ``--config``, ``--url`` and ``--database`` are
#: recorded.
_FILE, _URL = FILE.removeprefix(VARIABLE_PREFIX), URL.removeprefix(VARIABLE_PREFIX)
_DATABASE = "DATABASE_URL"

JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, as the control endpoints do."
)


def setting_option(name: str, *flags: str, **options: Any) -> Decorator:
    """Return a decorator that adds an option for the setting *name* to a command.

    The command gets its value from :func:`command_config`, not as an argument.
    """
    setting = next(setting for setting in SETTINGS if setting.name == name)
    if setting.choices:
        options["type"] = click.Choice(setting.choices)
    if setting.bounds:
        options["type"] = click.IntRange(*setting.bounds)
    if not setting.is_path_list:
        options.update(default=setting.default, show_default=bool(setting.default))
    return click.option(
        *flags,
        **{
            "cls": _SettingOption,
            "envvar": setting.variable,
            "show_envvar": True,
            "expose_value": False,
            "callback": _record,
            "help": setting.help,
            **options,
        },
    )


def seed_option(help_: str) -> Decorator:
    """Return a decorator that adds the repeatable option ``--seed`` to a command."""
    return setting_option("SEED", "--seed", metavar="FILE", multiple=True, help=help_)


def file_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option ``--config`` to *command*."""
    return click.option(
        "--config",
        metavar="FILE",
        envvar=FILE,
        show_envvar=True,
        expose_value=False,
        callback=_record,
        help="Settings file (YAML or JSON); options and variables override it.",
    )(command)


def database_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options ``--database`` and ``--config`` to *command*."""
    option = setting_option(
        _DATABASE, "--database", metavar="URL", callback=_record_database
    )
    return cast(Callable[..., Any], option(file_option(command)))


def url_option(help_: str) -> Decorator:
    """Return a decorator that adds the option ``--url`` to a command."""
    return click.option(
        "--url",
        metavar="URL",
        envvar=URL,
        show_envvar=True,
        expose_value=False,
        callback=_record,
        help=help_,
    )


def state_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--url``, ``--database`` and ``--config`` to *command*."""
    option = url_option(
        "Server to use instead of the database, such as http://127.0.0.1:8000. "
        f"Its token is read from {VARIABLE_PREFIX}CONTROL_TOKEN."
    )
    return cast(Callable[..., Any], option(database_option(command)))


def server_url() -> str | None:
    """Return the URL of the server to use; None to use the database.

    An option takes precedence over a variable, and a URL over a database.

    :raises UsageError: if both are given as options.
    """
    given = click.get_current_context().ensure_object(dict)
    if _URL in given and _DATABASE in given:
        raise click.UsageError("--url cannot be combined with --database")
    if _URL in given or _DATABASE in given:
        return cast(str | None, given.get(_URL))
    return os.environ.get(URL) or None


def reject_url() -> None:
    """Reject the option ``--url`` of the group in a command that has no such option.

    :raises UsageError: if it is given.
    """
    context = click.get_current_context()
    if _URL in context.ensure_object(dict):
        raise click.UsageError(f"--url cannot be combined with {context.info_name}")


def reject_server() -> None:
    """Reject a server in a command that works on a database only.

    :raises UsageError: if ``--url`` or its variable names a server.
    """
    if server_url() is not None:
        name = click.get_current_context().command_path.partition(" ")[2]
        raise click.UsageError(
            f"{name} works on a database, not on a server: use --database instead of "
            f"--url or {URL}"
        )


def is_given(name: str) -> bool:
    """Return whether the setting *name* is among the options of the current command."""
    return name in click.get_current_context().ensure_object(dict)


def command_config(*, is_serve: bool = False) -> Config:
    """Return the settings of the current command, which are read once."""
    context = click.get_current_context()
    if _CONFIG not in context.meta:
        options = dict(context.ensure_object(dict))
        options.pop(_URL, None)
        file = options.pop(_FILE, None)
        try:
            config = load_config(options, os.environ, file, is_serve=is_serve)
        except ParametersError as error:
            raise blame_options(error, _label_settings(context, options)) from None
        context.meta[_CONFIG] = config
    return cast(Config, context.meta[_CONFIG])


def _label_settings(
    context: click.Context | None, options: Collection[str]
) -> dict[str, str]:
    """Return the flags of *options*, by the variables of these settings."""
    labels: dict[str, str] = {}
    while context is not None:
        for parameter in context.command.params:
            variable = str(parameter.envvar)
            if variable.removeprefix(VARIABLE_PREFIX) in options:
                labels.setdefault(variable, max(parameter.opts, key=len))
        context = context.parent
    return labels


class _SettingOption(click.Option):
    """Option whose variable :func:`load_config` reads; click shows it in the help."""

    def resolve_envvar_value(self, ctx: click.Context) -> None:
        """Ignore the variable."""


def _record(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Record an option of the command line for :func:`command_config`."""
    source = context.get_parameter_source(str(option.name))
    if source is ParameterSource.COMMANDLINE:
        name = str(option.envvar).removeprefix(VARIABLE_PREFIX)
        context.ensure_object(dict)[name] = value


def _record_database(
    context: click.Context, option: click.Parameter, value: Any
) -> None:
    """Record the URL of the database, and hide its password from other users."""
    _record(context, option, value)
    url = context.ensure_object(dict).get(_DATABASE, "")
    if "@" in url and not hide_passwords(url):
        click.echo(
            f"Warning: other users of this machine can see the password of --database; "
            f"use {VARIABLE_PREFIX}{_DATABASE} or a settings file",
            err=True,
        )
