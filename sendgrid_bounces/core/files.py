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


def check_temporary_error(error: Exception) -> None:
    """Check that *error* is not one of a temporary file.

    :raises StorageError: if it is.
    """
    if isinstance(error, OSError) and error.errno in _REFUSED:
        reason = f"cannot write to the folder for temporary files: {error.strerror}"
        raise StorageError(reason, reason=reason) from error
