"""Renaming files, and the errors of temporary ones."""

import errno
import os
from pathlib import Path

from sendgrid_bounces.core.errors import StorageError

#: Error numbers of a folder that cannot take another file, or more of one.
_REFUSED = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE),
    *(errno.EIO, errno.EROFS, errno.EACCES, errno.ENOENT),
}


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
