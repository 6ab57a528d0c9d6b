"""JSON files of any length, read one element of an array at a time."""

import json
import re
from collections.abc import Collection, Iterator
from typing import IO, Any

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.schemas.base import as_mapping

#: Characters of the longest element.
MAX_RECORD = 1_048_576

#: Members of the object that has the array.
MAX_MEMBERS = 1_000

#: Characters that are read at once.
CHUNK = 65_536

ENCODING_RULE = "not UTF-8 text; name its encoding with --encoding"

#: A byte that could not be decoded, as the error handler ``surrogateescape`` reads it.
UNDECODED = re.compile("[\udc80-\udcff]")

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(object_pairs_hook=as_mapping)


class JSONStream:
    """The elements of an array in a JSON file, which is read piece by piece.

    The array is the file itself, or a value of an object in it.

    :param file: text decoded with the error handler ``surrogateescape``.
    :param keys: the keys that the array can have in an object.
    :ivar line: the line on which the latest value begins.
    """

    def __init__(self, file: IO[str], keys: Collection[str]) -> None:
        self._file = file
        self._keys = keys
        self._text = ""
        self._position = 0
        self._counted = 0
        self._is_complete = False
        self._is_in_object = False
        self._members = 0
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
            if self._key() in self._keys and self._accept("["):
                raise self._invalid("a second array")
            self._value()
        self._skip_blanks()
        if self._position < len(self._text):
            raise self._invalid("extra data")

    def _find_array(self) -> bool:
        """Move into the first array of an object that can have bounces."""
        while True:
            if self._key() in self._keys and self._accept("["):
                return True
            self._value()
            if not self._accept(","):
                return False

    def _key(self) -> Any:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise self._invalid(f"more than {MAX_MEMBERS:,} members of the object")
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
        if not chunk.isascii() and (match := UNDECODED.search(chunk)):
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
