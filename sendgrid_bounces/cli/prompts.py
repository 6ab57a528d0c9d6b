"""Secrets that a person types, or another program writes to stdin."""

import sys
from typing import Any

import click


def read_secret(name: str, *, is_hidden: bool = True) -> str:
    """Prompt for a secret, or read it from stdin if that is not a terminal.

    A command-line argument would be visible to other users of the machine.

    :param name: the name of the secret, such as ``API key``.
    """
    if sys.stdin is None:
        raise click.ClickException(f"cannot read the {name}: stdin is closed")
    if sys.stdin.isatty():
        typed: Any = click.prompt(
            f"{name[0].upper()}{name[1:]}",
            hide_input=is_hidden,
            confirmation_prompt=is_hidden,
        )
    else:
        typed = sys.stdin.readline()
        if not typed:
            command = click.get_current_context().command_path
            raise click.UsageError(
                f"no {name} on standard input (such as: echo KEY | {command} ...)"
            )
        typed = typed.rstrip("\r\n")
    return str(typed)
