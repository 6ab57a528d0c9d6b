"""The output of commands: tables, JSON, counts, and text that is safe to print."""

import io
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click

from sendgrid_bounces.core.messages import printable

#: Rows that are measured before the first one is printed.
MEASURED_ROWS = 1_000

_GAP = "  "


def prepare_streams() -> None:
    """Let each stream take any message.

    Messages to a closed stdout or stderr disappear, as with print(): Python has None
    instead of such a stream. A letter that the encoding lacks is escaped.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - of the process
            setattr(sys, name, stream)


def check_stdout() -> None:
    """Check that stdout can take data, before they are read.

    :raises ClickException: if it was closed when the program started.
    """
    if sys.__stdout__ is None:
        raise click.ClickException("stdout is closed")


def echo_json(value: Any) -> None:
    """Print *value* as one line of JSON."""
    click.echo(json.dumps(value))


def echo_table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    numbers: Iterable[int] = (),
    measured: int = MEASURED_ROWS,
) -> None:
    """Print a table with columns as wide as their cells.

    The widths are those of the first rows, so that a long table is printed as it is
    read.

    :param rows: integers are printed with separators of thousands.
    :param numbers: the indexes of the columns that are aligned to the right.
    :param measured: the number of rows to wait for before the first one is printed.
    """
    lines = ([_cell(value) for value in row] for row in rows)
    first = [*islice(lines, measured)]
    widths = [max(map(_width, column)) for column in zip(header, *first, strict=True)]
    right = {*numbers}
    click.echo(click.style(_line(header, widths, right), bold=True))
    for cells in chain(first, lines):
        click.echo(_line(cells, widths, right))


def echo_fields(fields: Mapping[str, object]) -> None:
    """Print a name and a value per line; a list has a line for each item."""
    width = max(map(len, fields))
    for name, value in fields.items():
        items = value if isinstance(value, list) else [value]
        for number, item in enumerate(items or ["-"]):
            label = "" if number else name
            styled = click.style(label.ljust(width), bold=True)
            click.echo(f"{styled}{_GAP}{_cell(item)}")


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else printable(str(value))


def _line(cells: Sequence[str], widths: Sequence[int], right: set[int]) -> str:
    padded = []
    for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        padding = " " * (width - _width(cell))
        padded.append(padding + cell if number in right else cell + padding)
    return _GAP.join(padded).rstrip(" ")


def _width(text: str) -> int:
    """Return the number of columns of *text* on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "FW")
        for c in text
    )
