"""The files of SQLite databases: their sizes, their volume, their locks."""

import errno
import os
import re
import struct
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

#: Bytes that must be available beside the file.
SPACE = 64 * 1024

#: The bytes of a database that each connection with a write-ahead log has locked: the
#: first, and their number.
SHARED_BYTES = (0x40000002, 510)

#: The mounts that this process sees; the mounted folder or file in a line; and a blank,
#: tab, newline or backslash in its name.
MOUNTS = Path("/proc/self/mountinfo")
MOUNT_POINT = re.compile(rb"^(?:[^ \n]+ ){4}([^ \n]+)", re.MULTILINE)
ESCAPED = re.compile(rb"\\([0-7]{3})")

#: The structure ``flock`` of Linux: type, origin, first byte, length and process.
LOCK_FORMAT = "hhqqi"


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


def is_used_elsewhere(file: Path) -> bool:
    """Return whether another process has a connection to a database, on Linux.

    The file stays open: to close it would end the locks of this process on it.
    """
    if sys.platform != "linux":
        return False
    import fcntl  # which Windows lacks

    with suppress(OSError):
        number = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        lock = struct.pack(LOCK_FORMAT, fcntl.F_WRLCK, os.SEEK_SET, *SHARED_BYTES, 0)
        found = fcntl.fcntl(number, fcntl.F_GETLK, lock)
        return bool(struct.unpack(LOCK_FORMAT, found)[0] != fcntl.F_UNLCK)
    return False
