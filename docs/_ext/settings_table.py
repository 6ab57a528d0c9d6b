"""The directive ``settings-table``: every setting, read from the program's table."""

from collections.abc import Iterator
from typing import Any

import click
from docutils import nodes
from rst import list_table
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from sendgrid_bounces.cli import main
from sendgrid_bounces.config import SETTINGS, Setting


class SettingsTable(SphinxDirective):
    """Render the variable, option, default, values and purpose of each setting."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        head = ("Variable and option", "Default", "Purpose and values")
        table = list_table(head, [*map(_row, SETTINGS)], style="nowrap")
        return self.parse_text_to_nodes(table)


def _row(setting: Setting) -> tuple[str, ...]:
    default = f"``{setting.default}``" if setting.default else ""
    names = [setting.variable, *_options(setting.variable)]
    purpose = " ".join(filter(None, (setting.help, _values(setting))))
    return "\n       ".join(f"| ``{name}``" for name in names), default, purpose


def _options(variable: str) -> Iterator[str]:
    serve = main.get_command(click.Context(main), "serve")
    for option in serve.params if serve else ():
        if option.envvar == variable:
            yield option.opts[-1]


def _values(setting: Setting) -> str:
    if setting.choices:
        return f"One of {', '.join(f'``{choice}``' for choice in setting.choices)}."
    if setting.bounds:
        return "From {:,} to {:,}.".format(*setting.bounds)
    return ""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("settings-table", SettingsTable)
    return {"parallel_read_safe": True}
