"""Errors of commands: one line on stderr, and an exit code."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from sendgrid_bounces.cli.groups import CommandGroup
from sendgrid_bounces.cli.output import prepare_streams
from sendgrid_bounces.core.errors import BounceError
from sendgrid_bounces.core.messages import printable

#: The exit code after the reader of the output has stopped, as in ``... | head``.
BROKEN_PIPE = 1


class OneLineErrors(CommandGroup):
    """Command group that reports each error in one line on stderr.

    The exit code is 1, or 2 for a usage error.
    """

    def main(  # type: ignore[override] # without the overloads of click
        self, args: Sequence[str] | None = None, **options: Any
    ) -> Any:
        """Parse *args*, run the command and exit."""
        prepare_streams()
        if not options.pop("standalone_mode", True):
            return super().main(args, standalone_mode=False, **options)
        try:
            code = super().main(args, standalone_mode=False, **options)
            sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except BrokenPipeError:
            _discard_output()
            sys.exit(BROKEN_PIPE)
        except ERRORS as error:
            _fail(error)
        sys.exit(code if isinstance(code, int) else 0)


#: The exceptions that a command may end with.
ERRORS = (
    click.ClickException,
    click.Abort,
    KeyboardInterrupt,
    BounceError,
    OSError,
    UnicodeError,
)


def _fail(error: BaseException) -> NoReturn:
    """Print *error* and exit."""
    message, code = str(error), 1
    match error:
        case click.ClickException():
            message, code = error.format_message(), error.exit_code
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            message = f"{place}{error.strerror or error}"
        case UnicodeError():
            message = f"cannot encode or decode text: {error}"
        case click.Abort() | KeyboardInterrupt():
            message = "aborted"
    label = click.style("Error:", fg="red", bold=True)
    color = False if os.environ.get("NO_COLOR") else None
    if isinstance(error, click.UsageError | OSError):
        message = _without_passwords(message)
    line = printable(" ".join(message.split()))
    with suppress(OSError):  # the code matters more, to a mail system for example
        click.echo(f"{label} {line}", err=True, color=color)
    sys.exit(code)


def _without_passwords(message: str) -> str:
    """Mask the user names and passwords of URLs, which a wrong argument can be."""
    from sendgrid_bounces.redaction import MASK, USERINFO  # often not needed

    return USERINFO.sub(f"//{MASK}@", message)


def _discard_output() -> None:
    """Let the interpreter flush stdout into nothing when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
