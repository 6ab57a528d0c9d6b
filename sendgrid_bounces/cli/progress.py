"""Progress of long work, on stderr if that is a terminal."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import click

#: Seconds after which work is long enough to be mentioned, and between two updates.
DELAY, INTERVAL = 1, 1


@contextmanager
def reading_bar(text: IO[str], label: str) -> Iterator[Callable[[], None]]:
    """Yield a function that moves a progress bar to the position in the file *text*."""
    if not sys.stderr.isatty() or not text.seekable():
        yield lambda: None
        return
    descriptor = text.fileno()
    size = os.fstat(descriptor).st_size
    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
        yield lambda: bar.update(os.lseek(descriptor, 0, os.SEEK_CUR) - bar.pos)


@contextmanager
def counting_bar(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """Yield a function that moves a progress bar by a number of steps."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


@contextmanager
def share_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows the amount of work done, and the amount of all."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield show


@contextmanager
def elapsed_time(label: str) -> Iterator[None]:
    """Show the duration of the block, for work without a measurable progress."""
    if not sys.stderr.isatty():
        yield
        return
    is_done = threading.Event()
    thread = threading.Thread(target=_show_time, args=(label, is_done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()


def _show_time(label: str, is_done: threading.Event) -> None:
    """Update one line until the work is done, and remove it then."""
    started = time.monotonic()
    is_shown = False
    timeout = DELAY
    while not is_done.wait(timeout):
        seconds = int(time.monotonic() - started)
        sys.stderr.write(f"\r{label} ... {seconds} s")
        sys.stderr.flush()
        is_shown, timeout = True, INTERVAL
    if is_shown:
        sys.stderr.write(f"\r{' ' * (len(label) + 16)}\r")
        sys.stderr.flush()
