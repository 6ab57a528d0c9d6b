"""Rows on their way into the database, kept on disk instead of in memory."""

import marshal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import IO

from sendgrid_bounces.core.files import temporary_error

#: Rows per statement.
CHUNK_SIZE = 1_000

#: Bytes of the length before each chunk in the file.
LENGTH_SIZE = 8

Values = tuple[str | int, ...]


class Spool:
    """Rows that are written once and read repeatedly, in chunks.

    The last chunk stays in memory, so most spools need no file.
    """

    def __init__(self, rows: Iterator[Values]) -> None:
        self._file: IO[bytes] | None = None
        self._last: list[Values] = []
        try:
            while chunk := list(islice(rows, CHUNK_SIZE)):
                if self._last:
                    self._write(self._last)
                self._last = chunk
        except BaseException:
            self.close()
            raise

    def chunks(self) -> Iterator[list[Values]]:
        """Return the rows from the beginning."""
        last = iter([self._last] if self._last else [])
        return last if self._file is None else chain(_read(self._file), last)

    def close(self) -> None:
        """Delete the file."""
        if self._file is not None:
            with suppress(OSError):  # of what is left to write
                self._file.close()

    def _write(self, chunk: list[Values]) -> None:
        """Append *chunk* to the file.

        :raises StorageError: if the file cannot be written.
        """
        data = marshal.dumps(chunk)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
            self._file.write(len(data).to_bytes(LENGTH_SIZE, "big"))
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise temporary_error(error) from error


def _read(file: IO[bytes]) -> Iterator[list[Values]]:
    """Yield the chunks in *file*. marshal.load() would read byte by byte."""
    file.seek(0)
    while length := file.read(LENGTH_SIZE):
        data = file.read(int.from_bytes(length, "big"))
        yield marshal.loads(data)  # noqa: S302 - written by this module
