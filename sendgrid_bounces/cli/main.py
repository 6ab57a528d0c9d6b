"""The root command, and the options, error handling and text that commands share."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, cast

import click
from click.core import ParameterSource

from sendgrid_bounces import __version__
from sendgrid_bounces.config import FILE, PREFIX, SETTINGS, Config, load_config
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import AbsentError, BounceError
from sendgrid_bounces.storage.clock import SharedClock
from sendgrid_bounces.storage.database import Storage, open_storage

_CONTROL_CHARACTER = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

#: Advice that follows the message of an error.
HINTS: dict[type[BounceError], str] = {
    AbsentError: "; create it with init-db, or choose another with --database",
}


#: The key of the settings of a command in the ``meta`` of its context.
_CONFIG = f"{__name__}.config"

#: The name under which the option ``--config`` is recorded.
_FILE = FILE.removeprefix(PREFIX)


class OneLineErrors(click.Group):
    """Command group that reports each error in one line on stderr.

    The exit code is 1, or 2 for a usage error.
    """

    def main(  # type: ignore[override] # without the overloads of click
        self, args: Sequence[str] | None = None, **options: Any
    ) -> Any:
        """Parse *args*, run the command and exit."""
        if not options.pop("standalone_mode", True):
            return super().main(args, standalone_mode=False, **options)
        try:
            code = super().main(args, standalone_mode=False, **options)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            _fail(error.format_message(), error.exit_code)
        except BounceError as error:
            _fail(f"{error}{HINTS.get(type(error), '')}", 1)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            _fail(f"{place}{error.strerror or error}", 1)
        except UnicodeError as error:
            _fail(f"cannot encode or decode text: {error}", 1)
        except (click.Abort, KeyboardInterrupt):
            _fail("aborted", 1)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(
    cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="sendgrid-bounces")
def main() -> None:
    """Emulate the bounce APIs of SendGrid v2 and Mailgun, with real state.

    Settings can also be given as environment variables, which the help of each option
    names, or in a settings file.
    """


def printable(text: str) -> str:
    """Return *text* as one line with its control characters escaped."""
    return _CONTROL_CHARACTER.sub(lambda match: repr(match[0])[1:-1], text)


def pluralize(number: int, noun: str) -> str:
    """Return *number* and *noun*, with an "s" unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def setting_option(name: str, *flags: str, **options: Any) -> Callable[[Any], Any]:
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


def seed_option(help_: str) -> Callable[[Any], Any]:
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
    option = setting_option("DATABASE_URL", "--database", metavar="URL")
    return file_option(option(command))


def is_given(name: str) -> bool:
    """Return whether the setting *name* is among the options of the current command."""
    return name in click.get_current_context().ensure_object(dict)


def command_config(*, is_serve: bool = False) -> Config:
    """Return the settings of the current command, which are read once."""
    context = click.get_current_context()
    if _CONFIG not in context.meta:
        options = dict(context.ensure_object(dict))
        file = options.pop(_FILE, None)
        config = load_config(options, os.environ, file, is_serve=is_serve)
        context.meta[_CONFIG] = config
    return cast(Config, context.meta[_CONFIG])


@contextmanager
def open_database(*, create: bool = False) -> Iterator[Storage]:
    """Open the database of the current command.

    :param create: whether to create a database that does not exist. A command that only
        reads or removes does not, since the path is then probably mistyped.
    """
    config = command_config()
    with closing(open_storage(config.database_url, create=create)) as storage:
        yield storage


def current_time(storage: Storage) -> int:
    """Return the current instant of the clock in the database."""
    return database_clock(storage).now()


def database_clock(storage: Storage) -> Clock:
    """Return the clock in the database."""
    return SharedClock(storage.clock, Clock())


class _SettingOption(click.Option):
    """Option with a variable in its help that :func:`load_config` reads, not click."""

    def resolve_envvar_value(self, ctx: click.Context) -> None:
        """Ignore the variable."""


def _record(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Record an option of the command line for :func:`command_config`."""
    source = context.get_parameter_source(str(option.name))
    if source is ParameterSource.COMMANDLINE:
        name = str(option.envvar).removeprefix(PREFIX)
        context.ensure_object(dict)[name] = value


def _fail(message: str, code: int) -> None:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(code)
