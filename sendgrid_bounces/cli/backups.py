"""Commands that copy the whole database to a file, and replace it by such a file."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from sendgrid_bounces.cli.confirmation import YES, confirm
from sendgrid_bounces.cli.connection import open_local
from sendgrid_bounces.cli.contents import echo_counts
from sendgrid_bounces.cli.groups import Command
from sendgrid_bounces.cli.options import JSON, database_option, reject_server
from sendgrid_bounces.cli.output import check_stdout, echo_json
from sendgrid_bounces.cli.progress import elapsed_time, share_bar
from sendgrid_bounces.cli.text_files import open_binary, stoppable
from sendgrid_bounces.control.documents import render_counts
from sendgrid_bounces.core.contents import enumerate_contents

FILE = click.argument("file", type=click.Path(allow_dash=True, readable=False))

#: The FILE that means stdin or stdout.
STDIO = "-"


@click.command(cls=Command)
@FILE
@click.option("--force", is_flag=True, help="Replace an existing FILE.")
@JSON
@database_option
def backup(file: str, force: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Copy the database to FILE (- for stdout), even while servers use it.

    FILE is an SQLite database with everything except the request log. A backup of
    MariaDB or MySQL is such a file, too.
    """
    from sendgrid_bounces.storage.backups import write_backup

    reject_server()
    with stoppable(), open_local() as emulator, _output(file) as path:
        engine = emulator.storage.engine
        with share_bar("Saving") as report:
            counts = write_backup(engine, path, report, replace=force)
    if file == STDIO:
        return
    if as_json:
        echo_json(render_counts(counts))
    else:
        click.echo(f"saved {enumerate_contents(counts)}")


@click.command(cls=Command)
@FILE
@JSON
@YES
@database_option
def restore(file: str, as_json: bool, yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Replace everything by the backup FILE (- for stdin), except the request log.

    Servers may use the database meanwhile. A missing database is created.
    """
    from sendgrid_bounces.storage.backups import open_backup, restore_backup

    reject_server()
    with stoppable(), ExitStack() as stack:
        path = stack.enter_context(_input(file))
        with elapsed_time("Checking"):
            found = stack.enter_context(open_backup(path))
        storage = stack.enter_context(open_local(create=True)).storage
        now = enumerate_contents(storage.contents.counts())
        then = enumerate_contents(found.counts)
        confirm(f"Remove everything ({now}), then restore {file} ({then})?", yes=yes)
        with share_bar("Restoring") as report:
            restore_backup(storage, found, report)
        counts = storage.contents.counts()
    if as_json:
        echo_json(render_counts(counts))
    else:
        echo_counts(counts)


@contextmanager
def _output(file: str) -> Iterator[Path]:
    """Yield the path to write; for stdout, a file that is copied there at the end."""
    if file != STDIO:
        yield Path(file)
        return
    check_stdout()
    if sys.stdout.isatty():
        raise click.UsageError("stdout is a terminal: redirect it, or name a FILE")
    with TemporaryDirectory() as folder:
        path = Path(folder, "stdout")
        yield path
        with path.open("rb") as binary, click.open_file(STDIO, "wb") as stdout:
            shutil.copyfileobj(binary, stdout)


@contextmanager
def _input(file: str) -> Iterator[Path]:
    """Yield the path to read, which has a copy of stdin if that is the input."""
    if file != STDIO:
        yield Path(file)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, "stdin")
        with path.open("wb") as binary, open_binary(STDIO) as stdin:
            shutil.copyfileobj(stdin, binary)
        yield path
