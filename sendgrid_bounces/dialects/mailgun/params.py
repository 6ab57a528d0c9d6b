"""What Mailgun's clients send: records and page parameters, raw text at the door."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from marshmallow import ValidationError, validate

from sendgrid_bounces.core.bounces import Bounce, BouncePage
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.dialects.mailgun.dates import parse_date

#: Limits of a page, and of a batch.
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
MAX_BATCH = 1_000

#: Larger numbers are in no database.
MAX_INTEGER = 2**62

DEFAULT_CODE = "550"

#: What a code, and what an error, may be in JSON.
CODES, TEXTS = (str, int, type(None)), (str, type(None))

#: How much of a wrong value an error repeats.
MAX_SHOWN = 200

_INTEGER = re.compile("[+-]?[0-9]{1,4000}")
_is_email = validate.Email()

#: What a record's fields are called in the core.
NAMES = {"email": "address", "code": "code", "status": "code", "reason": "error"}
NAMES["created"] = "created_at"


@dataclass(frozen=True, slots=True)
class PageParams:
    """Which page is asked for, and how long it may be.

    :param term: how the addresses begin, as it was given.
    """

    page: BouncePage
    limit: int
    term: str


def read_page(arguments: Mapping[str, str]) -> PageParams:
    """Return which page is asked for; an unknown one is the first.

    :raises ParametersError: if ``limit`` is no integer.
    """
    term = arguments.get("term", "")
    limit = _integer(arguments, "limit", DEFAULT_LIMIT)
    limit = min(limit, MAX_LIMIT) if limit > 0 else DEFAULT_LIMIT
    pivot = arguments.get("address") or None
    name = arguments.get("page", "")
    if name == "last":
        page = BouncePage(backwards=True, prefix=term)
    elif name in ("next", "previous") and pivot:
        page = BouncePage(pivot, backwards=name == "previous", prefix=term)
    else:
        page = BouncePage(prefix=term)
    return PageParams(page, limit, term)


def read_slice(arguments: Mapping[str, str]) -> tuple[int, int]:
    """Return (limit, skip) of a list that is counted, not paged.

    :raises ParametersError: if one of them is no integer.
    """
    limit = _integer(arguments, "limit", DEFAULT_LIMIT)
    skip = _integer(arguments, "skip", 0)
    limit = limit if limit > 0 else DEFAULT_LIMIT
    return min(limit, MAX_INTEGER), min(max(skip, 0), MAX_INTEGER)


def read_record(record: Mapping[str, object], now: int) -> Bounce:
    """Return the bounce that *record* describes; what is not known is ignored.

    :param now: the instant of a bounce that names none.
    :raises ParametersError: with the sentence that the vendor would say.
    """
    address = record.get("address") or ""
    if not address:
        raise _fault("Missing mandatory parameter: address")
    try:
        _is_email(address if isinstance(address, str) else "")
    except ValidationError:
        raise _invalid("address", address) from None
    code, error = record.get("code"), record.get("error")
    if isinstance(code, bool) or not isinstance(code, CODES):
        raise _invalid("code", code)
    if not isinstance(error, TEXTS):
        raise _invalid("error", error)
    created = _created(record, now)
    try:
        return Bounce(
            email=str(address),
            status="",
            code=DEFAULT_CODE if code in (None, "") else str(code),
            reason=error or "",
            created=created,
        )
    except ParametersError as faults:
        name, text = faults.problems[0]
        raise _fault(f"Invalid format for parameter {NAMES[name]}: {text}") from None


def read_batch(body: bytes, now: int) -> list[Bounce]:
    """Return the bounces of a JSON array of records, or of a single record.

    :raises ParametersError: if it is neither, or too long, or one is bad; which.
    """
    try:
        records = json.loads(body)
    except (ValueError, RecursionError):
        raise _fault("Invalid JSON") from None
    if isinstance(records, dict):
        records = [records]
    if not isinstance(records, list) or not records:
        raise _fault("Invalid JSON: must be an array of bounces")
    if len(records) > MAX_BATCH:
        raise _fault("Batch size should be less than 1000")
    return list(_read_each("record", enumerate(records, 1), now))


def read_csv(lines: Iterable[bytes], now: int) -> Iterator[Bounce]:
    """Yield the bounces of a CSV file, cells trimmed, columns in any order.

    :raises ParametersError: if there is no header, or a row is bad; which. The header
        is row 1.
    """
    rows = csv.reader(_decode(lines), skipinitialspace=True, strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if "address" not in header:
            raise _fault("while reading csv header")
        yield from _read_each("row", _records(header, rows), now)
    except csv.Error as error:
        raise _fault(f"line {rows.line_num}: {error}") from None
    except UnicodeDecodeError:
        raise _fault("while reading csv: not UTF-8") from None


def _decode(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield text; what marks the first line as UTF-8 is left out."""
    for number, line in enumerate(lines):
        yield line.decode("utf-8" if number else "utf-8-sig")


def _records(
    header: list[str], rows: Iterator[list[str]]
) -> Iterator[tuple[int, object]]:
    for number, cells in enumerate(rows, 2):
        if any(cell.strip() for cell in cells[len(header) :]):
            raise _fault("more cells than the header").within(f"row {number}", ": ")
        if any(cells):
            trimmed = (cell.strip() for cell in cells)
            yield number, dict(zip_longest(header, trimmed, fillvalue=""))


def _read_each(
    kind: str, records: Iterable[tuple[int, object]], now: int
) -> Iterator[Bounce]:
    for number, record in records:
        try:
            if not isinstance(record, dict):
                raise _fault("must be an object")
            yield read_record(record, now)
        except ParametersError as error:
            raise error.within(f"{kind} {number}") from None


def _created(record: Mapping[str, object], now: int) -> int:
    value = record.get("created_at")
    if value is None or value == "":
        return now
    try:
        instant = parse_date(str(value))
    except (ValueError, OverflowError):
        raise _invalid("created_at", value) from None
    return now if instant is None else instant


def _integer(arguments: Mapping[str, str], name: str, default: int) -> int:
    text = arguments.get(name) or str(default)
    if not _INTEGER.fullmatch(text):
        raise _invalid(name, text)
    return int(text)


def _invalid(name: str, value: Any) -> ParametersError:
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        text = "nested too deeply"
    shown = text[:MAX_SHOWN].encode(errors="replace").decode()
    return _fault(f"Invalid format for parameter {name}: {shown}")


def _fault(sentence: str) -> ParametersError:
    return ParametersError([("", sentence)])
