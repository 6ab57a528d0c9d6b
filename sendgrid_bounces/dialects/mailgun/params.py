"""The parameters and records that clients send, parsed once into typed values."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing

from sendgrid_bounces.core.addresses import is_address
from sendgrid_bounces.core.bounces import Bounce, BouncePage
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.json_limits import has_too_many_values
from sendgrid_bounces.dialects.mailgun.dates import parse_date
from sendgrid_bounces.schemas.cells import MAX_COLUMNS, clean_cells, read_rows

#: Bounds of a page, and of a batch.
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
MAX_BATCH = 1_000
BATCH_RULE = "Batch size should be less than 1000"

#: Bound of a CSV file. Its size alone would not bound the time: a row takes
#: microseconds, however short it is.
MAX_ROWS = 1_000_000

#: Larger integers are clamped: no list is that long.
MAX_INTEGER = 2**62

DEFAULT_CODE = "550"

#: Characters of an invalid value that an error message repeats.
MAX_SHOWN = 200

_INTEGER = re.compile("[+-]?[0-9]{1,4000}")

#: The columns of a CSV file that are read; other columns are ignored.
COLUMNS = ("address", "code", "error", "created_at")

#: The parameter of each of a bounce's fields.
PARAMETERS = {
    "email": "address",
    "status": "code",
    "code": "code",
    "reason": "error",
    "created": "created_at",
}


class Integer(fields.Field[int]):
    """A decimal integer: *load_default* if below *least*, *most* if above."""

    def __init__(self, least: int, most: int, **options: Any) -> None:
        super().__init__(**options)
        self.least = least
        self.most = most

    def _deserialize(self, value: str, *_: Any, **__: Any) -> int:
        if not value:
            return int(self.load_default)
        if not _INTEGER.fullmatch(value):
            raise _invalid(str(self.name), value)
        number = int(value)
        return int(self.load_default) if number < self.least else min(number, self.most)


class Parsed(fields.Field[Any]):
    """A field of a record; batches call *parse* themselves, which is faster.

    :param parse: returns the parsed value, or the default of None.
    """

    def __init__(self, parse: Callable[[Any], Any], **options: Any) -> None:
        super().__init__(**options)
        self.parse = parse

    def deserialize(
        self,
        value: Any,
        attr: str | None = None,
        data: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Return the parsed *value*."""
        del attr, data, options
        return self.parse(None if value is missing else value)


def parse_address(value: Any) -> str:
    """Return an e-mail address.

    :raises ValidationError: if *value* is empty or not an address.
    """
    if not value:
        raise ValidationError("Missing mandatory parameter: address")
    if not isinstance(value, str) or not is_address(value):
        raise _invalid("address", value)
    return value


def parse_code(value: Any) -> str:
    """Return an SMTP reply code, which may be a number.

    :raises ValidationError: if *value* is neither text nor an integer.
    """
    if value is None or value == "":
        return DEFAULT_CODE
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise _invalid("code", value)
    return str(value)


def parse_error(value: Any) -> str:
    """Return the error of a bounce.

    :raises ValidationError: if *value* is not text.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _invalid("error", value)
    return value


def parse_created_at(value: Any) -> int | None:
    """Return the instant of a date; None if *value* is empty or means "no date".

    :raises ValidationError: if *value* is not a date.
    """
    if value is None or value == "":
        return None
    try:
        return parse_date(str(value))
    except (ValueError, OverflowError):
        raise _invalid("created_at", value) from None


class SliceSchema(Schema):
    """The parameters of a list in v2."""

    limit = Integer(1, MAX_INTEGER, load_default=DEFAULT_LIMIT)
    skip = Integer(
        0,
        MAX_INTEGER,
        load_default=0,
        metadata={"description": "Bounces to skip."},
    )

    class Meta:
        unknown = EXCLUDE


class PageSchema(Schema):
    """The parameters of a list in v3."""

    limit = Integer(
        1,
        MAX_LIMIT,
        load_default=DEFAULT_LIMIT,
        metadata={"description": f"Larger values mean {MAX_LIMIT}."},
    )
    page = fields.String(
        metadata={
            "description": "next and previous require address; other values mean first."
        },
    )
    address = fields.String(metadata={"description": "The address next to the page."})
    term = fields.String(metadata={"description": "Prefix of the addresses."})

    class Meta:
        unknown = EXCLUDE


class RecordV2Schema(Schema):
    """A bounce that is added in v2."""

    address = Parsed(parse_address, required=True)
    code = Parsed(parse_code)
    error = Parsed(parse_error)

    class Meta:
        unknown = EXCLUDE


class RecordV3Schema(RecordV2Schema):
    """A bounce that is added in v3."""

    created_at = Parsed(
        parse_created_at,
        metadata={
            "description": "An RFC 2822 date with a time zone; the current time if "
            "absent."
        },
    )


SLICE, PAGE = SliceSchema(), PageSchema()
RECORD_V2, RECORD_V3 = RecordV2Schema(), RecordV3Schema()


@dataclass(frozen=True, slots=True)
class SliceParams:
    """The parameters of a list in v2."""

    limit: int
    skip: int


@dataclass(frozen=True, slots=True)
class PageParams:
    """The parameters of a list in v3.

    :param term: the prefix of the addresses, as given.
    """

    page: BouncePage
    limit: int
    term: str


def read_slice(arguments: Mapping[str, str]) -> SliceParams:
    """Return the parameters of a list in v2.

    :raises ParametersError: if a number is not an integer.
    """
    return SliceParams(**_load(SLICE, arguments))


def read_page(arguments: Mapping[str, str]) -> PageParams:
    """Return the parameters of a list in v3; an unknown page is the first page.

    :raises ParametersError: if ``limit`` is not an integer.
    """
    values = _load(PAGE, arguments)
    name, pivot = values.get("page"), values.get("address")
    term = values.get("term", "")
    if name == "last":
        page = BouncePage(backwards=True, prefix=term)
    elif name in ("next", "previous") and pivot:
        page = BouncePage(pivot, backwards=name == "previous", prefix=term)
    else:
        page = BouncePage(prefix=term)
    return PageParams(page, values["limit"], term)


def read_form(schema: Schema, arguments: Mapping[str, str], now: int) -> Bounce:
    """Return the bounce that the parameters of a form describe.

    :param schema: :data:`RECORD_V2` or :data:`RECORD_V3`.
    :param now: the time of a bounce without a date.
    :raises ParametersError: with the message for the first invalid parameter.
    """
    return _bounce(**_load(schema, arguments), now=now)


def read_record(record: Mapping[str, object], now: int) -> Bounce:
    """Return the bounce of a record of v3, as in :func:`read_form` but faster.

    :raises ParametersError: with the message for the first invalid parameter.
    """
    get = record.get
    try:
        address = parse_address(get("address"))
        code = parse_code(get("code"))
        text = parse_error(get("error"))
        date = get("created_at")
        created_at = None if date is None else parse_created_at(date)
    except ValidationError as error:
        raise _error(error.messages[0]) from None
    return _bounce(address, code, text, created_at, now=now)


def _bounce(
    address: str, code: str, error: str, created_at: int | None = None, *, now: int
) -> Bounce:
    created = now if created_at is None else created_at
    try:
        return Bounce(address, "", code, error, created)
    except ParametersError as problems:
        name, text = problems.problems[0]
        raise _error(
            f"Invalid format for parameter {PARAMETERS[name]}: {text}"
        ) from None


def read_batch(body: bytes, now: int) -> list[Bounce]:
    """Return the bounces of a JSON array of records, or of a single record.

    :raises ParametersError: if the body is neither, if the array is too long, or for
        the first invalid record.
    """
    bounces = []
    for number, record in enumerate(_records(body), 1):
        try:
            if not isinstance(record, dict):
                raise _error("must be an object")
            bounces.append(read_record(record, now))
        except ParametersError as error:
            raise error.within(f"record {number}") from None
    return bounces


def _records(body: bytes) -> list[Any]:
    if has_too_many_values(body):
        raise _error(BATCH_RULE)
    try:
        records = json.loads(body)
    except (ValueError, RecursionError):
        raise _error("Invalid JSON") from None
    if isinstance(records, dict):
        records = [records]
    if not isinstance(records, list) or not records:
        raise _error("Invalid JSON: must be an array of bounces")
    if len(records) > MAX_BATCH:
        raise _error(BATCH_RULE)
    return records


def read_csv(lines: Iterable[bytes], now: int) -> Iterator[Bounce]:
    """Yield the bounces of a CSV file: cells trimmed, columns in any order.

    :raises ParametersError: without a header, or naming the first invalid row. The
        header is row 1.
    """
    lines = iter(lines)
    first = next(lines, b"").removeprefix(BOM_UTF8)
    text = map(bytes.decode, chain([first], lines))
    rows = read_rows(text, skips_blanks=True)
    try:
        _, names = next(rows, (1, []))
        header = [name.strip() for name in islice(names, MAX_COLUMNS + 1)]
        if len(header) > MAX_COLUMNS:
            raise _error(f"while reading csv header: more than {MAX_COLUMNS} columns")
        if "address" not in header:
            raise _error("while reading csv header")
        width = len(header)
        places = {name: place for place, name in enumerate(header) if name in COLUMNS}
        for number, (_, cells) in enumerate(rows, 2):
            if number > MAX_ROWS + 1:
                raise _error(f"while reading csv: more than {MAX_ROWS} rows")
            if any(cells):
                yield _read_row(number, width, places, cells, now)
    except UnicodeDecodeError:
        raise _error("while reading csv: not UTF-8") from None


def _read_row(
    number: int, width: int, places: Mapping[str, int], cells: list[str], now: int
) -> Bounce:
    """Return the bounce of a row.

    :param width: the number of columns.
    :param places: the columns to read; of several columns with one name, the last.
    """
    try:
        trimmed = clean_cells(cells, width)
        given = len(trimmed)
        record = {n: trimmed[place] for n, place in places.items() if place < given}
        return read_record(record, now)
    except ParametersError as error:
        raise error.within(f"row {number}") from None


def _load(schema: Schema, arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of *schema*.

    :raises ParametersError: with the message for the first invalid parameter.
    """
    try:
        values: dict[str, Any] = schema.load(arguments)
    except ValidationError as error:
        first, *_ = error.messages_dict.values()
        raise _error(first[0]) from None
    return values


def _invalid(name: str, value: Any) -> ValidationError:
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        text = "nested too deeply"
    shown = text[:MAX_SHOWN].encode(errors="replace").decode()
    return ValidationError(f"Invalid format for parameter {name}: {shown}")


def _error(message: str) -> ParametersError:
    return ParametersError([("", message)])
