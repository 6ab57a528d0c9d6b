"""Rows on their way into the database, kept on disk instead of in memory."""

import marshal
import tempfile
from collections.abc import Iterator
from itertools import islice
from typing import IO

#: Rows per statement.
CHUNK_SIZE = 1_000

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
        """Yield the rows from the beginning."""
        if self._file is not None:
            end = self._file.seek(0, 2)
            self._file.seek(0)
            while self._file.tell() < end:
                yield marshal.load(self._file)  # noqa: S302 - written by this object
        if self._last:
            yield self._last

    def close(self) -> None:
        """Delete the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, chunk: list[Values]) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        marshal.dump(chunk, self._file)
