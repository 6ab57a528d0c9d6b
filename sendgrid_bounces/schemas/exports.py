"""CSV and JSON files of bounces, written record by record."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.schemas.bounces import FIELDS

Record = dict[str, Any]


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


WRITERS: dict[str, Callable[[Iterable[Record]], Iterator[str]]] = {
    "csv": write_csv,
    "json": write_json,
}
