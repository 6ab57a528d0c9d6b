"""Mails from stdin, files, mboxes and Maildirs. Nothing here deletes a mail."""

import os
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, dropwhile
from pathlib import Path
from typing import IO

import click

from sendgrid_bounces.cli.text_files import open_binary
from sendgrid_bounces.core.files import rename_to_new

#: Blank lines, which programs can leave at the beginning of a file, before its mails.
_STARTS = (b"\n", b"\r\n", BOM_UTF8 + b"\n", BOM_UTF8 + b"\r\n")

#: Bytes of a file name before its ending; file systems allow 255 in all.
MAX_NAME = 240


@dataclass(frozen=True, slots=True)
class Incoming:
    """A mail to read.

    :param place: the file, for messages.
    :param mark_read: to be called when the mail has been read.
    """

    place: str
    raw: bytes
    mark_read: Callable[[], None] = lambda: None


def read_mails(path: str) -> Iterator[Incoming]:
    """Yield the mails in *path*: a file, an mbox, a Maildir, or stdin (-).

    :raises UsageError: if *path* is a folder that is not a Maildir.
    """
    if path == "-":
        with open_binary(path) as stdin:
            yield from _read_file("stdin", stdin)
    elif not Path(path).is_dir():
        with Path(path).open("rb") as file:
            yield from _read_file(path, file)
    elif all((Path(path) / name).is_dir() for name in ("new", "cur")):
        yield from _read_maildir(Path(path))
    else:
        raise click.UsageError(
            f"{path} is a folder, but not a Maildir, which has the folders new and cur"
        )


def _read_file(place: str, file: IO[bytes]) -> Iterator[Incoming]:
    from sendgrid_bounces.sources.mail import MAX_BYTES, split_mails

    lines = iter(partial(file.readline, MAX_BYTES), b"")
    lines = dropwhile(_STARTS.__contains__, lines)
    first = next(lines, b"").removeprefix(BOM_UTF8)
    is_mbox = first.startswith(b"From ")
    for number, raw in enumerate(split_mails(chain([first], lines)), 1):
        yield Incoming(f"{place}, mail {number}" if is_mbox else place, raw)


def _read_maildir(folder: Path) -> Iterator[Incoming]:
    """Yield the new mails, each of which moves to ``cur`` when it has been read."""
    from sendgrid_bounces.sources.mail import MAX_BYTES

    for path in sorted((folder / "new").iterdir()):
        if not path.is_file():  # a folder or a pipe
            continue
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES)
        except FileNotFoundError:  # another program has moved it
            continue
        yield Incoming(str(path), raw, partial(_move, folder, path))


def _move(folder: Path, path: Path) -> None:
    """Move a mail to ``cur``, and mark it as seen; an older mail there stays.

    Another program may have moved it. A name that would be too long with the mark is
    cut.
    """
    encoded = os.fsencode(path.name.partition(":")[0])
    name = os.fsdecode(encoded[:MAX_NAME])
    for number in count():
        ending = f"_{number}" if number else ""
        try:
            rename_to_new(path, folder / "cur" / f"{name}{ending}:2,S")
        except FileExistsError:
            continue
        except FileNotFoundError:
            if path.exists():  # so the folder cur is missing
                raise
        return
