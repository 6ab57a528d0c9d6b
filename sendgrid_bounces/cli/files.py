"""Files of records: CSV and JSON, read and written row by row."""

import csv
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import click

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.schemas.bounces import FIELDS

Record = dict[str, Any]


@contextmanager
def reading(path: str) -> Iterator[IO[str]]:
    """Open a file of UTF-8 text, or stdin (-), its line ends as they are.

    :raises ParametersError: if it turns out not to be UTF-8.
    """
    with click.open_file(path, "rb") as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
        try:
            yield text
        except UnicodeDecodeError:
            raise ParametersError([(path, "not UTF-8 text")]) from None
        finally:
            text.detach()  # stdin is not ours to close


@contextmanager
def writing(path: str) -> Iterator[IO[str]]:
    """Open a file for UTF-8 text, or stdout (-), its line ends as they are.

    What a file held before is there until all that replaces it has been made.
    """
    with ExitStack() as open_database:
        file: IO[Any] = open_database.enter_context(click.open_file(path, "ab"))
        spool = file if path == "-" else open_database.enter_context(TemporaryFile())
        text = io.TextIOWrapper(spool, encoding="utf-8", newline="")
        try:
            yield text
        finally:
            text.detach()  # which flushes; stdout is not ours to close
        if spool is not file:
            if Path(path).is_file():
                file.truncate(0)
            spool.seek(0)
            shutil.copyfileobj(spool, file)


@contextmanager
def progress(text: IO[str]) -> Iterator[Callable[[], None]]:
    """Show a progress bar along a file on stderr, if that is a terminal.

    What is yielded moves the bar to where the file is read.
    """
    if not sys.stderr.isatty() or not text.seekable():
        yield lambda: None
        return
    descriptor = text.fileno()
    size = os.fstat(descriptor).st_size
    with click.progressbar(length=size, label="Importing", file=sys.stderr) as bar:
        yield lambda: bar.update(os.lseek(descriptor, 0, os.SEEK_CUR) - bar.pos)


def read_csv(file: IO[str]) -> Iterator[tuple[str, Record]]:
    """Yield the records of a CSV file, each with its place; empty cells are absent.

    :raises ParametersError: if the header names no address, or an unknown field.
    """
    rows = csv.reader(file, strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        is_set = len(set(header)) == len(header)
        if "email" not in header or not is_set or not set(header) <= set(FIELDS):
            known = ", ".join(FIELDS)
            raise ParametersError(
                [("line 1", f"must name email, and once each of {known}")]
            )
        for cells in rows:
            place = f"line {rows.line_num}"
            if len(cells) > len(header):
                raise ParametersError([(place, "has more cells than the header")])
            if cells:
                record: Record = dict(zip(header, cells, strict=False))
                record = {name: cell for name, cell in record.items() if cell}
                if "reported" in record:
                    record["reported"] = _boolean(record["reported"], place)
                yield place, record
    except csv.Error as error:
        raise ParametersError([(f"line {rows.line_num}", str(error))]) from None


def _boolean(text: str, place: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        fault = ("reported", "must be True or False")
        raise ParametersError([fault]).within(place, ", ") from None


def read_json(file: IO[str]) -> Iterator[tuple[str, Record]]:
    """Yield the records of a JSON array, each with its place.

    :raises ParametersError: if it is no such array.
    """
    try:
        records = json.load(file)
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise ParametersError([("", f"not JSON: {error}")]) from None
    if not isinstance(records, list):
        raise ParametersError([("", "must be an array of bounces")])
    for i, record in enumerate(records):
        yield f"[{i}]", record


def write_csv(records: Iterable[Record]) -> Iterator[str]:
    """Yield *records* as the lines of a CSV file."""
    buffer = io.StringIO()
    # Either character of the line's end is quoted in a cell; one of them ends lines.
    writer = csv.DictWriter(buffer, FIELDS, lineterminator="\r\n")
    writer.writeheader()
    for record in records:
        yield buffer.getvalue().removesuffix("\r\n") + "\n"
        buffer.seek(0)
        buffer.truncate()
        try:
            writer.writerow(record)
        except csv.Error as error:  # Python 3.10 and NUL
            email = record["email"]
            raise ParametersError(
                [(email, f"not for CSV, but for JSON: {error}")]
            ) from None
    yield buffer.getvalue().removesuffix("\r\n") + "\n"


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
