"""CSV and JSON files of bounces, read and written record by record."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.redaction import is_printable_name
from sendgrid_bounces.schemas.bounces import FIELDS

Record = dict[str, Any]


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
