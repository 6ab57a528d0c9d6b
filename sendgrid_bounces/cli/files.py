"""CSV and JSON files of bounces, read and written record by record."""

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
from sendgrid_bounces.redaction import is_printable_name
from sendgrid_bounces.schemas.bounces import FIELDS

Record = dict[str, Any]


@contextmanager
def open_input(path: str) -> Iterator[IO[str]]:
    """Open a UTF-8 text file or stdin (-) without translating line endings.

    :raises ParametersError: when text that is not UTF-8 is read.
    """
    with click.open_file(path, "rb") as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
        try:
            yield text
        except UnicodeDecodeError:
            raise ParametersError([(path, "must be UTF-8 text")]) from None
        finally:
            text.detach()  # leaves stdin open


@contextmanager
def open_output(path: str) -> Iterator[IO[str]]:
    """Open a file or stdout (-) for UTF-8 text without translating line endings.

    An existing file keeps its contents until the new text is complete.
    """
    with ExitStack() as stack:
        file: IO[Any] = stack.enter_context(click.open_file(path, "ab"))
        spool = file if path == "-" else stack.enter_context(TemporaryFile())
        text = io.TextIOWrapper(spool, encoding="utf-8", newline="")
        try:
            yield text
        finally:
            text.detach()  # flushes, and leaves stdout open
        if spool is not file:
            if Path(path).is_file():
                file.truncate(0)
            spool.seek(0)
            shutil.copyfileobj(spool, file)


@contextmanager
def progress_bar(text: IO[str]) -> Iterator[Callable[[], None]]:
    """Yield a function that moves a progress bar to the position in the file *text*.

    Without a terminal on stderr the function does nothing.
    """
    if not sys.stderr.isatty() or not text.seekable():
        yield lambda: None
        return
    descriptor = text.fileno()
    size = os.fstat(descriptor).st_size
    with click.progressbar(length=size, label="Importing", file=sys.stderr) as bar:
        yield lambda: bar.update(os.lseek(descriptor, 0, os.SEEK_CUR) - bar.pos)


def read_csv(file: IO[str]) -> Iterator[tuple[str, Record]]:
    """Yield (position, record) for each row of a CSV file; empty cells are left out.

    :raises ParametersError: if the header or a row is invalid.
    """
    rows = csv.reader(file, strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if problem := _check_header(header):
            raise ParametersError([("line 1", problem)])
        for cells in rows:
            place = f"line {rows.line_num}"
            if len(cells) > len(header):
                raise ParametersError([(place, "has more cells than the header")])
            if cells:
                record: Record = dict(zip(header, cells, strict=False))
                record = {name: cell for name, cell in record.items() if cell}
                if "reported" in record:
                    record["reported"] = _read_boolean(record["reported"], place)
                yield place, record
    except csv.Error as error:
        raise ParametersError([(f"line {rows.line_num}", str(error))]) from None


def _check_header(header: list[str]) -> str | None:
    """Return the first problem of a CSV header, or None."""
    for number, name in enumerate(header, 1):
        if name not in FIELDS:
            column = repr(name) if is_printable_name(name) else number
            return f"unknown column {column}; valid columns: {', '.join(FIELDS)}"
        if name in header[: number - 1]:
            return f"duplicate column {name!r}"
    return None if "email" in header else "missing column 'email'"


def _read_boolean(text: str, place: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        problem = ("reported", "must be True or False")
        raise ParametersError([problem]).within(place, ", ") from None


def read_json(file: IO[str]) -> Iterator[tuple[str, Record]]:
    """Yield (position, record) for each element of a JSON array.

    :raises ParametersError: if the file is not a JSON array.
    """
    try:
        records = json.load(file)
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise ParametersError([("", f"invalid JSON: {error}")]) from None
    if not isinstance(records, list):
        raise ParametersError([("", "must be an array of bounces")])
    for i, record in enumerate(records):
        yield f"[{i}]", record


def write_csv(records: Iterable[Record]) -> Iterator[str]:
    """Yield *records* as the lines of a CSV file."""
    buffer = io.StringIO()
    # The writer quotes cells that contain a character of its line terminator, so CRLF
    # makes it quote lone CRs and LFs too. The lines themselves end in LF.
    writer = csv.DictWriter(buffer, FIELDS, lineterminator="\r\n")
    writer.writeheader()
    for record in records:
        yield buffer.getvalue().removesuffix("\r\n") + "\n"
        buffer.seek(0)
        buffer.truncate()
        try:
            writer.writerow(record)
        except csv.Error as error:  # Python 3.10 rejects NUL
            problem = f"cannot be written as CSV: {error}; use --format json"
            raise ParametersError([(record["email"], problem)]) from None
    yield buffer.getvalue().removesuffix("\r\n") + "\n"


def write_json(records: Iterable[Record]) -> Iterator[str]:
    """Yield *records* as a JSON array with one record per line."""
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
