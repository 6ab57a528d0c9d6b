"""Questions before something is removed."""

import sys

import click

YES = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def confirm(question: str, *, yes: bool) -> None:
    """Ask *question*, and end the command with exit code 1 unless the answer is yes.

    :param yes: whether the option ``--yes`` answers the question.
    :raises UsageError: if stdin is not a terminal.
    """
    if yes:
        return
    if not is_interactive():
        action = f"{question[0].lower()}{question[1:].removesuffix('?')}"
        raise click.UsageError(
            f"would {action}; confirm with --yes (stdin is not a terminal)"
        )
    if not click.confirm(question):
        click.echo("Nothing was changed.", err=True)
        click.get_current_context().exit(1)


def is_interactive() -> bool:
    """Return whether a person can answer a question."""
    return sys.stdin is not None and sys.stdin.isatty()
