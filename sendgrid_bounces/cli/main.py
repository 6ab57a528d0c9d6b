"""The root command, and the options, error handling and text that commands share."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import click

from sendgrid_bounces import __version__
from sendgrid_bounces.config import (
    FILE,
    PREFIX,
    SETTINGS,
    from_environment,
    from_file,
    settings,
    split_paths,
)
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import AbsentError, BounceError
from sendgrid_bounces.storage.clock import SharedClock
from sendgrid_bounces.storage.database import Storage, open_storage

_CONTROL_CHARACTER = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

#: Advice that follows the message of an error.
HINTS: dict[type[BounceError], str] = {
    AbsentError: "; create it with init-db, or choose another with --database",
}


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
    """Return a click option for the setting *name*, with its help and variable."""
    setting = next(setting for setting in SETTINGS if setting.name == name)
    if setting.choices:
        options["type"] = click.Choice(setting.choices)
    if setting.bounds:
        options["type"] = click.IntRange(*setting.bounds)
    return click.option(
        *flags,
        **{
            "cls": _SettingOption,
            "envvar": setting.variable,
            "default": setting.default,
            "show_default": True,
            "show_envvar": True,
            "help": setting.help,
            **options,
        },
    )


def seed_option(help_: str) -> Callable[[Any], Any]:
    """Return a click option for seed files, which may be given often."""
    return click.option(
        "--seed",
        "seeds",
        cls=_SettingOption,
        multiple=True,
        metavar="FILE",
        envvar=f"{PREFIX}SEED",
        show_envvar=True,
        type=click.Path(),
        help=help_,
    )


def file_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* a settings file: it has the values of options not given else."""
    return click.option(
        "--config",
        metavar="FILE",
        envvar=FILE,
        show_envvar=True,
        type=click.Path(),
        is_eager=True,  # the other options look into what it read
        expose_value=False,
        callback=_read_settings,
        help="A file of settings (YAML or JSON); options and variables win over it.",
    )(command)


def database_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* a database, and the settings file that may name it."""
    option = setting_option("DATABASE_URL", "--database", metavar="URL")
    return file_option(option(command))


def load_config(**given: str) -> dict[str, str]:
    """Return all settings: of the command's file, the environment, and *given* ones."""
    return settings(click.get_current_context().obj, given)


@contextmanager
def open_database(database: str, *, create: bool = False) -> Iterator[Storage]:
    """Open *database* for one command.

    :param create: whether to create a database that does not exist. A command that only
        reads or removes does not, since the path is then probably mistyped.
    """
    with closing(open_storage(database, create=create)) as storage:
        yield storage


def current_time(storage: Storage) -> int:
    """Return the current instant of the clock in the database."""
    return SharedClock(storage.clock, Clock()).now()


class _SettingOption(click.Option):
    """An option whose variable is read where the other settings' are."""

    def resolve_envvar_value(self, ctx: click.Context) -> None:
        """Return nothing: click would not overlook what is none of ours."""

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:  # noqa: FBT001, FBT002 - its signature
        """Return the default; help does not tell what the settings file says."""
        return super().get_default(ctx, call) if call else self.default


def _read_settings(context: click.Context, _option: object, path: str | None) -> None:
    """Read file and environment, for the options of a command and `configured`."""
    file = from_file(path) if path else {}
    context.obj = {**file, **from_environment(os.environ)}
    settings(context.obj)  # a misspelt variable is not overlooked
    options = {option.envvar: option for option in context.command.params}
    context.default_map = {
        option.name: split_paths(value) if option.multiple else value
        for name, value in context.obj.items()
        if (option := options.get(PREFIX + name))
    }


def _fail(message: str, code: int) -> None:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(code)
