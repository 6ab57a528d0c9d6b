"""Files of bounces, in the shapes in which this program and vendors export them.

Readers yield one record at a time: memory does not depend on the size of a file.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import IO, Any

from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.redaction import is_printable_name
from sendgrid_bounces.schemas.base import as_mapping, duplicate_key
from sendgrid_bounces.schemas.bounces import FIELDS, read_record, read_text_record
from sendgrid_bounces.schemas.cells import MAX_COLUMNS, MAX_ROW, clean_cells, read_rows

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

#: Longest header of a CSV file, and longest record of a JSON file, in characters.
MAX_HEADER, MAX_RECORD = 65_536, 1_048_576

#: Characters that are read at once.
CHUNK = 65_536

ENCODING_RULE = "not UTF-8 text; name its encoding with --encoding"

#: A byte that could not be decoded, as the error handler ``surrogateescape`` reads it.
_UNDECODED = re.compile("[\udc80-\udcff]")
_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(object_pairs_hook=as_mapping)


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


def find_records(document: Any) -> list[Any]:
    """Return the bounces of a JSON document: an array, or an object; or a bounce."""
    if isinstance(document, dict):
        arrays = (document.get(key) for key in ARRAY_KEYS)
        document = next((each for each in arrays if isinstance(each, list)), [document])
    return document if isinstance(document, list) else [document]


def rename_fields(record: Any) -> Any:
    """Return *record* with the names of fields that this program has for a vendor's.

    Unknown names are kept.

    :raises ParametersError: if two names are those of the same field.
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
    rest = iter(partial(file.readline, MAX_ROW + 1), "")
    lines = _decoded_lines(chain([first] if first else [], rest))
    rows = read_rows(lines, separator=separator)
    _, header = next(rows, (1, []))
    width, columns = _read_header(header, ignores_unknown)
    for number, cells in rows:
        place = f"line {number}"
        try:
            cleaned = clean_cells(cells, width)
        except ParametersError as error:
            yield place, error
            continue
        if any(cleaned):
            yield place, _text_record(columns, cells, cleaned)


def read_json(file: IO[str], ignores_unknown: bool = False) -> Iterator[Row]:  # noqa: FBT001, FBT002 - readers are called by position
    """Yield the elements of a JSON array, or of an array in an object.

    :raises ParametersError: if the file is not JSON or has no array.
    """
    text = _JSONText(file)
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
    for number, line in enumerate(_decoded_lines(file), 1):
        if address := line.strip():
            yield f"line {number}", {"email": address}


#: The reader of each file format.
READERS: Mapping[str, Callable[[IO[str], bool], Iterator[Row]]] = {
    "csv": read_csv,
    "json": read_json,
    "text": read_list,
}


def _decoded_lines(lines: Iterable[str]) -> Iterator[str]:
    """Yield *lines*; reject bytes that could not be decoded."""
    for number, line in enumerate(lines, 1):
        if not line.isascii() and _UNDECODED.search(line):
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
    if len(names) > MAX_COLUMNS:
        raise ParametersError([("line 1", f"more than {MAX_COLUMNS} columns")])
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

    :raises ParametersError: if a name is unknown or repeated, or the address missing.
    """
    spelt, names = names, list(map(_normalized, names))
    layout = next((LAYOUTS[name] for name in LAYOUTS if name in names), None)
    if layout is None:
        address = " or ".join(map(repr, LAYOUTS))
        raise ParametersError([("", f"missing {noun} {address}")])
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


class _JSONText:
    """A JSON file, of which a part at a time is in memory.

    :param line: the line on which the latest value begins.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text = ""
        self._position = 0
        self._counted = 0
        self._is_complete = False
        self._is_in_object = False
        self.line = 1

    def enter_array(self) -> None:
        """Move to the first element of the array in the file.

        :raises ParametersError: if there is none.
        """
        if self._accept("["):
            return
        if self._accept("{"):
            self._is_in_object = True
            if not self._accept("}") and self._find_array():
                return
        elif self._position < len(self._text):
            self._value()
        raise ParametersError([("", "must be an array of bounces")])

    def elements(self) -> Iterator[Any]:
        """Yield the elements of the array, and check that the file ends correctly."""
        if not self._accept("]"):
            yield self._value()
            while not self._accept("]"):
                self._expect(",", "expected ',' or ']'")
                yield self._value()
        while self._is_in_object and not self._accept("}"):
            self._expect(",", "expected ',' or '}'")
            self._key()
            self._value()
        self._skip_blanks()
        if self._position < len(self._text):
            raise self._invalid("extra data")

    def _find_array(self) -> bool:
        """Move into the first array of an object that can have bounces."""
        while True:
            if self._key() in ARRAY_KEYS and self._accept("["):
                return True
            self._value()
            if not self._accept(","):
                return False

    def _key(self) -> Any:
        key = self._value()
        self._expect(":", "expected ':'")
        return key

    def _expect(self, character: str, reason: str) -> None:
        if not self._accept(character):
            raise self._invalid(reason)

    def _accept(self, character: str) -> bool:
        """Skip blanks, and *character* if it follows."""
        self._skip_blanks()
        if not self._text.startswith(character, self._position):
            return False
        self._position += 1
        return True

    def _value(self) -> Any:
        """Return the next value."""
        self._skip_blanks()
        self._count_lines()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._position)
            except ParametersError as error:
                raise error.within(f"line {self.line}", ", ") from None
            except RecursionError:
                raise self._invalid("nested too deeply") from None
            except ValueError as error:
                if not self._has_more_of_value():
                    raise self._invalid(getattr(error, "msg", "no value")) from None
            else:  # more digits may follow
                if end < len(self._text) or not self._read():
                    self._position = end
                    return value

    def _has_more_of_value(self) -> bool:
        """Read more of a value that does not parse, and return whether there is more.

        Each time as much as before, so that the total work is linear.
        """
        pending = len(self._text) - self._position
        return pending <= MAX_RECORD and self._read(max(CHUNK, pending))

    def _skip_blanks(self) -> None:
        while True:
            match = _BLANK.match(self._text, self._position)
            self._position = match.end() if match else self._position
            if self._position < len(self._text) or not self._read():
                return

    def _read(self, size: int = CHUNK) -> bool:
        """Replace the parsed part by more text, and return whether there is more."""
        if self._is_complete:
            return False
        self._count_lines()
        chunk = self._file.read(size)
        self._text = self._text[self._position :]
        if not chunk.isascii() and (match := _UNDECODED.search(chunk)):
            before = self._text.count("\n") + chunk.count("\n", 0, match.start())
            raise ParametersError([(f"line {self.line + before}", ENCODING_RULE)])
        self._text += chunk
        self._position = self._counted = 0
        self._is_complete = not chunk
        return bool(chunk)

    def _count_lines(self) -> None:
        self.line += self._text.count("\n", self._counted, self._position)
        self._counted = self._position

    def _invalid(self, reason: str) -> ParametersError:
        self._count_lines()
        return ParametersError([(f"line {self.line}", f"invalid JSON: {reason}")])
