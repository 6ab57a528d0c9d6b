"""Text files that commands read and write."""

import errno
import io
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, cast

import click

from sendgrid_bounces.cli.output import check_stdout
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.files import folder_beside, sync

#: The names of open files of the process.
_OPEN_FILE = re.compile("/dev/(?:fd/|std)|/proc/[^/]+/fd/")

#: How files of SQLite begin: a database, and the two versions of a write-ahead log.
_DATABASE_STARTS = (b"SQLite format 3\0", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")

#: The endings of files beside a database.
_DATABASE_ENDINGS = re.compile("(-requests)?(-wal|-shm|-journal)?$")

#: Error numbers of a file that is a mount point, or whose folder is not writable.
_NOT_REPLACEABLE = {errno.EACCES, errno.EBUSY, errno.EPERM, errno.EROFS, errno.EXDEV}


def open_binary(path: str) -> AbstractContextManager[IO[bytes]]:
    """Open a file or stdin (-).

    :raises ClickException: if stdin is closed.
    """
    if path == "-" and sys.stdin is None:
        raise click.ClickException("cannot read stdin: it is closed")
    return cast(AbstractContextManager[IO[bytes]], click.open_file(path, "rb"))


@contextmanager
def open_input(
    path: str, encoding: str = "utf-8-sig", errors: str = "strict"
) -> Iterator[IO[str]]:
    """Open a text file or stdin (-) without translating line endings.

    :raises ParametersError: when text in another encoding is read.
    """
    with open_binary(path) as binary:
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

    A file appears, or replaces the one that exists, when the text is complete.

    :raises ClickException: if stdout is closed.
    :raises ParametersError: if the file is a database.
    :raises OSError: with the name of the file.
    """
    if path == "-":
        check_stdout()
    if path == "-" or _is_stream(Path(path)):
        with click.open_file(path, "ab") as binary, _as_text(binary) as text:
            yield text
        return
    file = Path(os.path.realpath(path))
    try:
        if _is_database(file):
            raise ParametersError([(path, "is a file of an SQLite database")])
        with stoppable(), _temporary_folder(file) as folder:
            copy = Path(folder, file.name)
            with copy.open("xb") as binary:
                with _as_text(binary) as text:
                    yield text
                _keep_mode(file, copy)
            sync(copy)
            _replace(file, copy)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, path) from None


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop the command as Ctrl-C does, so that it cleans up."""
    changed = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP
                signal.signal(number, signal.default_int_handler)
                changed.append(number)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _as_text(binary: IO[bytes]) -> Iterator[IO[str]]:
    text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
    try:
        yield text
    finally:
        text.detach()  # flushes, and leaves the file open


def _is_stream(path: Path) -> bool:
    """Return whether *path* names a pipe, a device or an open file of the process."""
    if path.exists() and not path.is_file():
        return True
    return _OPEN_FILE.match(str(path.absolute())) is not None


def _is_database(path: Path) -> bool:
    """Return whether *path* is a database of SQLite, or belongs beside one."""
    name = _DATABASE_ENDINGS.sub("", path.name, count=1)
    return any(
        _has_database(each) for each in {path, path.with_name(name or path.name)}
    )


def _has_database(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:  # replacing it reports the reason
        return file.read(16).startswith(_DATABASE_STARTS)
    return False


def _temporary_folder(file: Path) -> AbstractContextManager[Path | str]:
    """Return a new folder beside *file*, or elsewhere if only the file is writable."""
    if file.exists() and not os.access(file.parent, os.W_OK):
        return TemporaryDirectory()
    return folder_beside(file)


def _replace(file: Path, copy: Path) -> None:
    """Replace *file* by *copy*, or its contents if it cannot be replaced."""
    try:
        copy.replace(file)
    except OSError as error:
        if error.errno not in _NOT_REPLACEABLE or not file.exists():
            raise
        shutil.copyfile(copy, file)


def _keep_mode(file: Path, copy: Path) -> None:
    """Give *copy* the mode and, if possible, the owner of *file*, if it exists.

    :raises PermissionError: if *file* cannot be written.
    """
    if not file.exists():
        return
    if not os.access(file, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    shutil.copymode(file, copy)
    with suppress(OSError):
        status = file.stat()
        os.chown(copy, status.st_uid, status.st_gid)
