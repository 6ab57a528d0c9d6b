"""Text files that commands read and write."""

import io
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import click

from sendgrid_bounces.cli.output import check_stdout
from sendgrid_bounces.core.errors import ParametersError


@contextmanager
def open_input(
    path: str, encoding: str = "utf-8-sig", errors: str = "strict"
) -> Iterator[IO[str]]:
    """Open a text file or stdin (-) without translating line endings.

    :raises ParametersError: when text in another encoding is read.
    """
    with click.open_file(path, "rb") as binary:
        text = io.TextIOWrapper(binary, encoding, errors, newline="")
        try:
            yield text
        except UnicodeError:
            name = "UTF-8" if encoding == "utf-8-sig" else encoding
            raise ParametersError([(path, f"must be {name} text")]) from None
        finally:
            text.detach()  # leaves stdin open


@contextmanager
def open_output(path: str) -> Iterator[IO[str]]:
    """Open a file or stdout (-) for UTF-8 text without translating line endings.

    An existing file keeps its contents until the new text is complete.

    :raises ClickException: if stdout is closed.
    """
    if path == "-":
        check_stdout()
    with ExitStack() as stack:
        file: IO[Any] = stack.enter_context(click.open_file(path, "ab"))
        spool = file if path == "-" else stack.enter_context(TemporaryFile())
        text = io.TextIOWrapper(spool, encoding="utf-8", newline="")
        try:
            yield text
        finally:
            text.detach()  # flushes, and leaves stdout open
        if spool is not file:
            if Path(path).is_file():
                file.truncate(0)
            spool.seek(0)
            shutil.copyfileobj(spool, file)
