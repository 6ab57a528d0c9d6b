"""Command groups: suggestions for misspelt names, and commands loaded when run."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from sendgrid_bounces.core.errors import ParametersError, UnknownNameError
from sendgrid_bounces.core.messages import pluralize

#: The place of each command, such as ``package.module:function``, and its short help.
Sources = Mapping[str, tuple[str, str]]

_NONE: Sources = MappingProxyType({})

#: The names of commands and options that have other names in other programs.
SYNONYMS = {
    "create": "add",
    "delete": "remove",
    "export": "bounces export",
    "help": "--help",
    "import": "bounces import",
    "ls": "list",
    "rm": "remove",
    "run": "serve",
    "start": "serve",
    "version": "--version",
}

_KEY_HINT = "An API key is read from a prompt or from stdin."
_VARIABLE_HINT = "The control token is read from SENDGRID_BOUNCES_CONTROL_TOKEN."

#: Options for secrets, which other programs have, and where a secret is read from.
SECRET_OPTIONS = {
    "--api-key": _KEY_HINT,
    "--control-token": _VARIABLE_HINT,
    "--key": _KEY_HINT,
    "--password": _KEY_HINT,
    "--token": _VARIABLE_HINT,
}


def label_parameters(ctx: click.Context) -> dict[str, str]:
    """Return the options and arguments of the command line, by the names of fields."""
    labels = {}
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            is_option = isinstance(parameter, click.Option)
            text = max(parameter.opts, key=len) if is_option else name.upper()
            labels[name] = text
    return labels


def blame_options(error: ParametersError, labels: Mapping[str, str]) -> Exception:
    """Return *error* with *labels* for the fields; a usage error if all have labels."""
    named = ParametersError([(labels.get(n, n), text) for n, text in error.problems])
    if all(name in labels.values() for name, _ in named.problems):
        return click.UsageError(str(named))
    return named


def _suggest_name(ctx: click.Context, name: str) -> str:
    """Return a hint with a name like *name* that the shell would complete, if any."""
    for parameter in ctx.command.params:
        if ctx.params.get(str(parameter.name)) == name:
            names = [item.value for item in parameter.shell_complete(ctx, "")]
            close = get_close_matches(name, names, 1)
            return f" (did you mean {close[0]!r}?)" if close else ""
    return ""


class Command(click.Command):
    """Command that suggests names, and reports invalid values as a usage error."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args*.

        :raises UsageError: if there are too many. They are not repeated, since one may
            be a key that belongs to standard input.
        """
        ctx.allow_extra_args = True
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = SECRET_OPTIONS.get(error.option_name)
            if hint is None or error.possibilities:
                raise
            raise click.UsageError(f"{error.message} {hint}", ctx) from None
        if rest and not ctx.resilient_parsing:
            usage = " ".join([ctx.command_path, *self.collect_usage_pieces(ctx)])
            ctx.fail(f"{pluralize(len(rest), 'argument')} too many; expected: {usage}")
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ParametersError as error:
            raise blame_options(error, label_parameters(ctx)) from None
        except UnknownNameError as error:
            hint = _suggest_name(ctx, error.name)
            raise click.ClickException(f"{error}{hint}") from None


class CommandGroup(click.Group):
    """Command group that lists its commands in the order of their definition.

    :param sources: commands whose modules are imported only when they run.
    """

    command_class = Command

    def __init__(
        self, *arguments: Any, sources: Sources = _NONE, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._sources = sources

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        del ctx
        own = [name for name in self.commands if name not in self._sources]
        return [*own, *self._sources]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; import its module if necessary."""
        del ctx
        if cmd_name in self._sources and cmd_name not in self.commands:
            place, short_help = self._sources[cmd_name]
            module, _, attribute = place.partition(":")
            command = getattr(import_module(module), attribute)
            command.short_help = short_help
            self.add_command(command, cmd_name)
        return self.commands.get(cmd_name)

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
        options = [flag for option in self.get_params(ctx) for flag in option.opts]
        synonym = SYNONYMS.get(name)
        close = (
            [synonym]
            if synonym and synonym.split()[0] in (*known, *options)
            else get_close_matches(name, known, 1)
        )
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise click.UsageError(f"No such command {name!r} ({hint})", ctx)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([*self._short_helps(ctx).items()])

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem]:
        """Return the commands that begin with *incomplete*, or the options."""
        commands = [
            CompletionItem(name, help=text)
            for name, text in self._short_helps(ctx).items()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def _short_helps(self, ctx: click.Context) -> dict[str, str]:
        """Return the short help of each command by name."""
        return {
            name: self._sources[name][1]
            if name in self._sources
            else self.commands[name].get_short_help_str()
            for name in self.list_commands(ctx)
        }
