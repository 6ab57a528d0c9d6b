"""Files of records: CSV and JSON, read and written row by row."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.records import FIELDS

Record = dict[str, Any]

#: What a spreadsheet may put into a cell.
csv.field_size_limit(1024 * 1024)


@contextmanager
def reading(path: str) -> Iterator[IO[str]]:
    """Open a file of UTF-8 text, or stdin (-), its line ends as they are.

    :raises ParametersError: if it turns out not to be UTF-8.
    """
    binary = click.open_file(path, "rb")
    with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
        try:
            yield text
        except UnicodeDecodeError:
            raise ParametersError([(path, "not UTF-8 text")]) from None


@contextmanager
def writing(path: str) -> Iterator[IO[str]]:
    """Open a file for UTF-8 text, or stdout (-), its line ends as they are."""
    if path == "-":
        yield sys.stdout
    else:
        with Path(path).open("w", encoding="utf-8", newline="") as text:
            yield text


def progress(text: IO[str]) -> Callable[[], None]:
    """Return what moves a progress bar on a terminal's stderr along a file."""
    if not sys.stderr.isatty() or not text.seekable():
        return lambda: None
    descriptor = text.fileno()
    size = os.fstat(descriptor).st_size
    bar = click.progressbar(length=size, label="Importing", file=sys.stderr)
    return lambda: bar.update(os.lseek(descriptor, 0, os.SEEK_CUR) - bar.pos)


def read_csv(file: IO[str]) -> Iterator[tuple[str, Record]]:
    """Yield the records of a CSV file, each with its place; empty cells are absent.

    :raises ParametersError: if the header names no address, or an unknown field.
    """
    rows = csv.reader(file)
    try:
        header = [name.strip() for name in next(rows, [])]
        unknown = [name for name in header if name not in FIELDS]
        if unknown or "email" not in header:
            known = ", ".join(FIELDS)
            raise ParametersError(
                [("line 1", f"must name email, and of the fields only {known}")]
            )
        for cells in rows:
            place = f"line {rows.line_num}"
            if len(cells) > len(header):
                raise ParametersError([(place, "has more cells than the header")])
            if cells:
                yield place, {n: c for n, c in zip(header, cells, strict=False) if c}
    except csv.Error as error:
        raise ParametersError([(f"line {rows.line_num}", str(error))]) from None


def read_json(file: IO[str]) -> Iterator[tuple[str, Record]]:
    """Yield the records of a JSON array, each with its place.

    :raises ParametersError: if it is no such array.
    """
    try:
        records = json.load(file)
    except ValueError as error:
        raise ParametersError([("", f"not JSON: {error}")]) from None
    if not isinstance(records, list):
        raise ParametersError([("", "must be an array of bounces")])
    for i, record in enumerate(records):
        yield f"[{i}]", record


def write_csv(records: Iterable[Record]) -> Iterator[str]:
    """Yield *records* as the lines of a CSV file."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(record)
    yield buffer.getvalue()


def write_json(records: Iterable[Record]) -> Iterator[str]:
    """Yield *records* as a JSON array, one on each line."""
    before = "[\n"
    for record in records:
        yield before + json.dumps(record)
        before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


READERS: dict[str, Callable[[IO[str]], Iterator[tuple[str, Record]]]] = {
    "csv": read_csv,
    "json": read_json,
}
WRITERS: dict[str, Callable[[Iterable[Record]], Iterator[str]]] = {
    "csv": write_csv,
    "json": write_json,
}
