"""Files of bounces, in the shapes in which this program and vendors export them.

Readers yield one record at a time: memory does not depend on the size of a file.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import IO, Any, TypeVar

from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.redaction import is_printable_name
from sendgrid_bounces.schemas.base import duplicate_key
from sendgrid_bounces.schemas.bounces import FIELDS, read_record, read_text_record
from sendgrid_bounces.schemas.cells import MAX_COLUMNS, MAX_ROW, clean_cells, read_rows
from sendgrid_bounces.schemas.json_stream import ENCODING_RULE, UNDECODED, JSONStream

Value = TypeVar("Value")
Record = dict[str, Any]

#: The place of a record in its file, and the record or the problem with it.
Row = tuple[str, "Record | ParametersError"]

#: The layouts of records, by the column of the address: column -> field of a bounce.
LAYOUTS: Mapping[str, Mapping[str, str]] = {
    # This program, and SendGrid: status,reason,email,created
    "email": {name: name for name in FIELDS},
    # Mailgun
    "address": {
        "address": "email",
        "code": "code",
        "error": "reason",
        "created_at": "created",
    },
}

#: The keys of the array in a JSON object: Mailgun's, and that of control responses.
ARRAY_KEYS = ("items", "bounces")

_FIELDS = frozenset(FIELDS)

#: The separators of CSV files.
SEPARATORS = ",;\t"

#: Blank rows that a file may have: as many as a sheet has rows.
MAX_BLANK_ROWS = 1_048_576

#: Rows of a file that a client sends. The command line has no limit.
MAX_ROWS = 1_000_000

TOO_MANY_ROWS = (
    f"more than {MAX_ROWS:,} rows; use the command sendgrid-bounces bounces import"
)

#: Characters of the longest header of a CSV file.
MAX_HEADER = 65_536


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to read a file.

    :param zone: the time zone of times without one.
    :param now: the instant of records without a time.
    :param ignores_unknown: whether to skip unknown columns.
    :param on_invalid: is called with the error of each invalid record, which is then
        skipped; None to raise it.
    :param check: raises ParametersError to reject a bounce; gets its place, too.
    """

    zone: TimeZone
    now: int
    ignores_unknown: bool = False
    on_invalid: Callable[[ParametersError], None] | None = None
    check: Callable[[str, Bounce], None] | None = None


def read_bounces(
    file: IO[str], file_format: str, options: ImportOptions
) -> Iterator[Bounce]:
    """Yield the bounces in *file*.

    :param file: text decoded with the error handler ``surrogateescape``.
    :param file_format: one of :data:`READERS`.
    :raises ParametersError: naming the place of the first problem.
    """
    read = read_record if file_format == "json" else read_text_record
    for place, record in READERS[file_format](file, options.ignores_unknown):
        try:
            if isinstance(record, ParametersError):
                raise record
            bounce = read(record, options.zone, options.now)
            if options.check is not None:
                options.check(place, bounce)
        except ParametersError as error:
            located = error.within(place, ", ")
            if options.on_invalid is None:
                raise located from None
            options.on_invalid(located)
        else:
            yield bounce


def limit_rows(rows: Iterable[Value]) -> Iterator[Value]:
    """Yield the *rows* of a file that a client has sent.

    :raises ParametersError: if there are more than :data:`MAX_ROWS`.
    """
    for number, row in enumerate(rows):
        if number == MAX_ROWS:
            raise ParametersError([("", TOO_MANY_ROWS)])
        yield row


def find_records(document: Any) -> list[Any]:
    """Return the bounces of a JSON document: an array, or an object; or a bounce.

    :raises ParametersError: if the object has several arrays.
    """
    if isinstance(document, dict):
        values = [document.get(key) for key in ARRAY_KEYS]
        arrays = [each for each in values if isinstance(each, list)]
        if len(arrays) > 1:
            raise ParametersError([("", f"must have one of {', '.join(ARRAY_KEYS)}")])
        document = arrays[0] if arrays else [document]
    return document if isinstance(document, list) else [document]


def rename_fields(record: Any) -> Any:
    """Return *record* with the names of fields that this program has for a vendor's.

    Unknown names are kept.

    :raises ParametersError: if two names mean the same field.
    """
    if not isinstance(record, dict) or record.keys() <= _FIELDS:
        return record
    names = {name: _normalized(name) for name in record}
    layout = next((LAYOUTS[each] for each in LAYOUTS if each in names.values()), {})
    renamed: Record = {}
    for name, value in record.items():
        field = layout.get(names[name], name)
        if field in renamed:
            raise ParametersError([("", duplicate_key(name))])
        renamed[field] = value
    return renamed


def read_csv(file: IO[str], ignores_unknown: bool = False) -> Iterator[Row]:  # noqa: FBT001, FBT002 - readers are called by position
    """Yield the rows of a CSV file, without blank cells.

    :raises ParametersError: if the header is invalid, or the file not CSV.
    """
    first = file.readline(MAX_HEADER)
    separator = _find_separator(first)
    lines = _decoded_lines(chain([first] if first else [], _pieces(file)))
    rows = read_rows(lines, separator=separator)
    _, header = next(rows, (1, []))
    width, columns = _read_header(header, ignores_unknown)
    blank_rows = _BlankRows()
    for number, cells in rows:
        place = f"line {number}"
        try:
            cleaned = clean_cells(cells, width)
        except ParametersError as error:
            yield place, error
            continue
        if any(cleaned):
            yield place, _text_record(columns, cells, cleaned)
        else:
            blank_rows.count(place)


def read_json(file: IO[str], ignores_unknown: bool = False) -> Iterator[Row]:  # noqa: FBT001, FBT002 - readers are called by position
    """Yield the elements of a JSON array, or of an array in an object.

    :raises ParametersError: if the file is not JSON or has no array.
    """
    text = JSONStream(file, ARRAY_KEYS)
    text.enter_array()
    for index, value in enumerate(text.elements()):
        place = f"[{index}] (line {text.line})"
        if not isinstance(value, dict):
            yield place, ParametersError([("", "must be a mapping")])
            continue
        try:
            columns = _columns([*value], ignores_unknown, "field")
        except ParametersError as error:
            yield place, error
            continue
        values = list(value.values())
        yield place, {field: values[i] for i, field in columns.items()}


def read_list(file: IO[str], ignores_unknown: bool = False) -> Iterator[Row]:  # noqa: FBT001, FBT002 - readers are called by position
    """Yield the addresses in a file with one address per line."""
    del ignores_unknown  # there are no columns
    blank_rows = _BlankRows()
    for number, line in enumerate(_decoded_lines(_pieces(file)), 1):
        place = f"line {number}"
        if len(line) > MAX_ROW:
            problem = f"a line of more than {MAX_ROW:,} characters"
            raise ParametersError([(place, problem)])
        if address := line.strip():
            yield place, {"email": address}
        else:
            blank_rows.count(place)


#: The reader of each file format.
READERS: Mapping[str, Callable[[IO[str], bool], Iterator[Row]]] = {
    "csv": read_csv,
    "json": read_json,
    "text": read_list,
}


class _BlankRows:
    """The number of blank rows in a file, each of which takes time."""

    number = 0

    def count(self, place: str) -> None:
        """Count another one.

        :raises ParametersError: if there are more than :data:`MAX_BLANK_ROWS`.
        """
        self.number += 1
        if self.number > MAX_BLANK_ROWS:
            problem = f"more than {MAX_BLANK_ROWS:,} blank rows"
            raise ParametersError([(place, problem)])


def _pieces(file: IO[str]) -> Iterator[str]:
    """Return the lines of *file*; a longer one than :data:`MAX_ROW` is several."""
    return iter(partial(file.readline, MAX_ROW + 1), "")


def _decoded_lines(lines: Iterable[str]) -> Iterator[str]:
    """Yield *lines*; reject bytes that could not be decoded."""
    for number, line in enumerate(lines, 1):
        if not line.isascii() and UNDECODED.search(line):
            raise ParametersError([(f"line {number}", ENCODING_RULE)])
        yield line


def _find_separator(header: str) -> str:
    """Return the separator with which *header* has the column of an address."""
    for separator in SEPARATORS:
        names = (_normalized(cell.strip('" ')) for cell in header.split(separator))
        if not LAYOUTS.keys().isdisjoint(names):
            return separator
    return max(SEPARATORS, key=header.count)


def _normalized(name: str) -> str:
    """Return a column name in small letters, with underscores for blanks."""
    return name.strip().lower().replace(" ", "_")


def _read_header(
    cells: list[str],
    ignores_unknown: bool,  # noqa: FBT001 - the caller's argument, passed on
) -> tuple[int, dict[int, str]]:
    """Return the number of columns, without empty names at the end, and the fields.

    :raises ParametersError: if the header is invalid.
    """
    names = list(map(str.strip, cells))
    while names and not names[-1]:
        names.pop()
    try:
        return len(names), _columns(names, ignores_unknown)
    except ParametersError as error:
        raise error.within("line 1") from None


def _columns(
    names: list[str],
    ignores_unknown: bool,  # noqa: FBT001 - the caller's argument, passed on
    noun: str = "column",
) -> dict[int, str]:
    """Return the field of each known column, by its number.

    :raises ParametersError: if a name is unknown or repeated, or the address missing,
        or if there are too many.
    """
    if len(names) > MAX_COLUMNS:
        raise ParametersError([("", f"more than {MAX_COLUMNS} {noun}s")])
    spelt, names = names, list(map(_normalized, names))
    layout = next((LAYOUTS[name] for name in LAYOUTS if name in names), None)
    if layout is None:
        address = " or ".join(map(repr, LAYOUTS))
        hint = " (a plain list of addresses has the format text)"
        problem = f"missing {noun} {address}{hint if noun == 'column' else ''}"
        raise ParametersError([("", problem)])
    unknown = [
        repr(spelt[index]) if is_printable_name(name) else f"number {index + 1}"
        for index, name in enumerate(names)
        if name not in layout
    ]
    if unknown and not ignores_unknown:
        nouns = noun if len(unknown) == 1 else f"{noun}s"
        problem = f"unknown {nouns} {', '.join(unknown)}; valid: {', '.join(layout)}"
        raise ParametersError([("", f"{problem} (--ignore-unknown skips others)")])
    columns: dict[int, str] = {}
    for index, name in enumerate(names):
        if name in layout:
            if layout[name] in columns.values():
                raise ParametersError([("", f"duplicate {noun} {name!r}")])
            columns[index] = layout[name]
    return columns


def _text_record(
    columns: Mapping[int, str], cells: list[str], cleaned: list[str]
) -> Record:
    """Return the record of a row; only the reason keeps the blanks around it."""
    values = {
        field: cells[index] if field == "reason" else cleaned[index]
        for index, field in columns.items()
        if index < len(cleaned)
    }
    return {field: value for field, value in values.items() if value}
