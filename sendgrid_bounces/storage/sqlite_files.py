"""The files of SQLite databases: their sizes, their rights and their volume."""

import errno
import os
import re
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

#: Bytes that must be available beside the file.
SPACE = 64 * 1024

#: The mounts that this process sees; the mounted folder or file in a line; and a blank,
#: tab, newline or backslash in its name.
MOUNTS = Path("/proc/self/mountinfo")
MOUNT_POINT = re.compile(rb"^(?:[^ \n]+ ){4}([^ \n]+)", re.MULTILINE)
ESCAPED = re.compile(rb"\\([0-7]{3})")


def file_size(path: Path) -> int:
    """Return the size of a file in bytes; 0 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def free_space(folder: Path) -> int:
    """Return the bytes that the volume of *folder* has for this process."""
    volume = os.statvfs(folder)
    return volume.f_bavail * volume.f_frsize


def check_space(folder: Path) -> None:
    """Check that *folder* has space for the data of a few calls.

    If only the number of files has reached its limit, writes succeed.

    :raises OSError: if it has not.
    """
    try:
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(SPACE))
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if is_full and not _lacks_inodes_only(folder):
            raise


def _lacks_inodes_only(folder: Path) -> bool:
    """Return whether a volume with space for data has reached its number of files."""
    volume = os.statvfs(folder)
    has_limit = volume.f_files > 0  # some file systems have none
    return has_limit and not volume.f_favail and free_space(folder) >= SPACE


def find_refusal(file: Path) -> str:
    """Return why this process cannot write *file*, or create files beside it."""
    for path in (file, file.parent):
        if path.exists() and not os.access(path, os.R_OK | os.W_OK):
            is_read_only = os.statvfs(path).f_flag & os.ST_RDONLY
            return (
                f"{path}: {os.strerror(errno.EROFS if is_read_only else errno.EACCES)}"
            )
    return ""


def is_mount_point(file: Path) -> bool:
    """Return whether *file* is mounted by itself, on Linux.

    ``os.path.ismount`` does not know a mount of a file of the same volume.
    """
    name = os.fsencode(file)
    with suppress(OSError):
        for point in MOUNT_POINT.findall(MOUNTS.read_bytes()):
            if ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), point) == name:
                return True
    return False
