"""Files of records: CSV and JSON, read and written row by row."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.records import FIELDS

Record = dict[str, Any]

#: What a spreadsheet may put into a cell.
csv.field_size_limit(1024 * 1024)


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
