"""Scripts for the completion of commands, options and names in shells."""

import click
from click.shell_completion import get_completion_class

from sendgrid_bounces.cli.groups import Command

PROGRAM = "sendgrid-bounces"

#: The variable that makes the program print completions, as click derives it.
VARIABLE = "_SENDGRID_BOUNCES_COMPLETE"


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes commands, options and names in SHELL.

    For bash, add `eval "$(sendgrid-bounces completion bash)"` to ~/.bashrc.
    """
    class_ = get_completion_class(shell)
    assert class_ is not None  # noqa: S101 - click has one for each choice
    root = click.get_current_context().find_root().command
    click.echo(class_(root, {}, PROGRAM, VARIABLE).source())
