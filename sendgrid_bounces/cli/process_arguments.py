"""The arguments of this process, which every user of the machine can read."""

import os
import re
from pathlib import Path

#: The password in a URL: up to the last "@", since it may be badly encoded.
_PASSWORD = re.compile(rb"//[^:@/\0]*:(?P<password>[^\0]+)@")

#: The place of the arguments' addresses in ``/proc/self/stat``, after the file name.
_START, _END = 45, 46


def hide_passwords(url: str) -> bool:
    """Overwrite the passwords of the arguments, such as *url*, that ``ps`` shows.

    An option that is given twice has two URLs. Processes that this one forks inherit
    the arguments.

    :returns: whether no argument shows the password any more. Only Linux reveals the
        place of the arguments.
    """
    if not _PASSWORD.search(os.fsencode(url)):
        return True
    try:
        arguments = Path("/proc/self/cmdline").read_bytes()
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    start, end = int(fields[_START]), int(fields[_END])
    if end - start != len(arguments):  # moved, or unknown: some sandboxes
        return False
    from ctypes import memset

    for match in _PASSWORD.finditer(arguments):
        begin, stop = match.span("password")
        memset(start + begin, ord("*"), stop - begin)
    return True
