"""Command groups: suggestions for misspelt names, and commands loaded when run."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem


class CommandGroup(click.Group):
    """Command group that lists its commands in the order of their definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        del ctx
        return [*self.commands]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that *args* names, its name and the other arguments.

        :raises UsageError: if it does not exist, with similar names.
        """
        name = args[0]
        is_option = not name[:1].isalnum()
        known = self.list_commands(ctx)
        if name in known or is_option or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise click.UsageError(f"No such command {name!r} ({hint})", ctx)


class LazyGroup(CommandGroup):
    """Command group that imports the module of a command when the command runs.

    :param sources: the place of each command, such as ``package.module:function``, and
        its short help.
    """

    def __init__(
        self, *arguments: Any, sources: Mapping[str, tuple[str, str]], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._sources = sources

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        del ctx
        return [*self._sources]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        del ctx
        if cmd_name not in self._sources:
            return None
        if cmd_name not in self.commands:
            place, short_help = self._sources[cmd_name]
            module, _, attribute = place.partition(":")
            command = getattr(import_module(module), attribute)
            command.short_help = short_help
            self.add_command(command, cmd_name)
        return self.commands[cmd_name]

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list of commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, text) for name, (_, text) in self._sources.items()]
            )

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem]:
        """Return the commands that begin with *incomplete*, or the options."""
        commands = [
            CompletionItem(name, help=text)
            for name, (_, text) in self._sources.items()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]
