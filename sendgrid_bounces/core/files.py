"""Renaming files."""

import errno
import os
from pathlib import Path


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
