"""Temporary files: their folders, their final names, and their errors."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sendgrid_bounces.core.errors import StorageError

#: Error numbers of a folder that cannot take another file, or more of one.
_REFUSED = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE),
    *(errno.EIO, errno.EROFS, errno.EACCES, errno.ENOENT),
}


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Create a temporary folder in the folder of *path*, for a file to be renamed.

    :raises OSError: with the name of *path*.
    """
    try:
        folder = TemporaryDirectory(prefix=".sendgrid-bounces-", dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    with folder as name:
        yield Path(name)


def sync(path: Path) -> None:
    """Wait until the disk has a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_to_new(path: Path, target: Path) -> None:
    """Rename a file, and replace nothing.

    :raises FileExistsError: if *target* exists, even if another program has created it
        just now, as far as the file system can tell.
    """
    try:
        os.link(path, target)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # no hard links, or not of another user's file
        if target.exists():
            message = os.strerror(errno.EEXIST)
            raise FileExistsError(errno.EEXIST, message, str(target)) from None
        path.rename(target)
    else:
        path.unlink(missing_ok=True)


def is_refused(error: Exception) -> bool:
    """Return whether *error* says that a folder does not take more data."""
    return isinstance(error, OSError) and error.errno in _REFUSED


def temporary_error(error: Exception) -> StorageError:
    """Return the *error* of writing a temporary file as one of the storage."""
    problem = getattr(error, "strerror", None) or error
    reason = f"cannot write to the folder for temporary files: {problem}"
    return StorageError(reason, reason=reason)
