"""The command that mail systems run to list the recipients of bounce mails."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sendgrid_bounces.cli.connection import open_local
from sendgrid_bounces.cli.mailboxes import Incoming, read_mails
from sendgrid_bounces.cli.options import command_config, database_option, server_url
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import (
    BounceError,
    ParametersError,
    StorageError,
    UnknownNameError,
)
from sendgrid_bounces.core.files import folder_beside, sync
from sendgrid_bounces.core.messages import pluralize, printable
from sendgrid_bounces.core.sources import SourceCounts, pipe_name

if TYPE_CHECKING:
    import re

    from sendgrid_bounces.receiving.delivery import Receipt
    from sendgrid_bounces.sources.events import Batch, BounceEvent


class MisuseError(click.ClickException):
    """A mail system returns the mail (EX_USAGE of sysexits.h)."""

    exit_code = 64


class TemporaryError(click.ClickException):
    """A mail system tries the mail again (EX_TEMPFAIL of sysexits.h)."""

    exit_code = 75


#: Problems of one mail that are printed.
MAX_SHOWN = 10

#: Returns the batch of a mail, which was received at an instant.
Reader = Callable[[bytes, int], "Batch"]


class MailCommand(click.Command):
    """Command that a mail system runs for each mail."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Parse the arguments."""
        with _mail_exit_codes():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _mail_exit_codes():
            return super().invoke(ctx)


@contextmanager
def _mail_exit_codes() -> Iterator[None]:
    """Give errors the exit codes that mail systems know."""
    try:
        yield
    except (click.exceptions.Exit, click.Abort, TemporaryError):
        raise
    except click.ClickException as error:
        raise MisuseError(error.format_message()) from error
    except StorageError as error:
        raise TemporaryError(str(error)) from error
    except BounceError as error:
        raise MisuseError(str(error)) from error
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise TemporaryError(f"{place}{error.strerror or error}") from error
    except Exception as error:
        raise TemporaryError(f"unexpected error: {error!r}") from error


def _compile_verp(
    _: object, __: object, pattern: str | None
) -> "re.Pattern[str] | None":
    if pattern is None:
        return None
    from sendgrid_bounces.sources.mail import compile_verp

    try:
        return compile_verp(pattern)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(cls=MailCommand)
@click.argument("owner")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, allow_dash=True))
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the bounces as JSON that `bounces import` takes, and store nothing.",
)
@click.option(
    "--unread",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Copy bounce mails that cannot be read into this folder.",
)
@click.option(
    "--recipient",
    type=click.Choice(["original", "final"]),
    default="original",
    show_default=True,
    help="The address to list if the mail was forwarded.",
)
@click.option(
    "--verp",
    metavar="PATTERN",
    callback=_compile_verp,
    help="Form of return addresses: bounces+{local}={domain}@example.com.",
)
@database_option
def receive(
    owner: str,
    paths: tuple[str, ...],
    dry_run: bool,  # noqa: FBT001 - click passes options by name
    unread: str | None,
    recipient: Any,
    verp: "re.Pattern[str] | None",
) -> None:
    """Add the failed recipients of bounce mails to the list of OWNER.

    PATHS are mails, mboxes and Maildirs; without one, the mail is read from stdin. No
    mail is deleted; mails of a Maildir that have been read move from new to cur.

    The exit code is 0 even for mails that are not bounces, 75 if the database or the
    settings cannot be used (mail systems retry), and 64 for wrong arguments.
    """
    if not paths and sys.stdin is not None and sys.stdin.isatty():
        raise click.UsageError("missing PATHS: stdin is a terminal")
    if not dry_run and server_url() is not None:
        raise click.UsageError(
            "bounces receive needs a database; post mails for a server to a source "
            "of kind mail"
        )
    from sendgrid_bounces.sources.mail import flufl, read_mail

    if not flufl.is_installed():
        _echo(
            "flufl.bounce is not installed, so some bounce mails stay unread "
            "(pip install flufl.bounce)",
            err=True,
        )

    def read(raw: bytes, now: int) -> "Batch":
        return read_mail(raw, now, recipient=recipient, verp=verp)

    folder = None if unread is None else Path(unread)
    if dry_run:
        _print_bounces(paths or ("-",), read, folder)
    else:
        _store_bounces(owner, paths or ("-",), read, folder)


def _print_bounces(paths: Sequence[str], read: Reader, unread: Path | None) -> None:
    """Print the bounces as JSON, oldest first, and all else on stderr."""
    from sendgrid_bounces.control.documents import render_bounce
    from sendgrid_bounces.receiving.delivery import as_bounce

    events: list[BounceEvent] = []
    now = Clock().now()
    for path in paths:
        for mail in read_mails(path):
            batch = read(mail.raw, now)
            _report_unlisted(mail, batch, err=True)
            _keep_unread(mail, batch, unread)
            events += batch.listed
    bounces = map(as_bounce, sorted(events, key=lambda event: event.created))
    _echo(json.dumps([render_bounce(bounce) for bounce in bounces], indent=1))


def _store_bounces(
    owner: str, paths: Sequence[str], read: Reader, unread: Path | None
) -> None:
    """Store the bounces of each mail in a transaction of its own."""
    from sendgrid_bounces.receiving.delivery import deliver, open_source

    mails, total = 0, SourceCounts()
    try:
        command_config()
    except ParametersError as error:  # of a file that may just be replaced
        raise TemporaryError(str(error)) from error
    with open_local() as emulator:
        storage = emulator.storage
        owner = storage.accounts.named_list(owner).owner
        source = open_source(storage, pipe_name(owner), owner, "mail")
        for path in paths:
            for mail in read_mails(path):
                now = emulator.clock.now()
                batch = read(mail.raw, now)
                system = emulator.clock.system.now()
                try:
                    receipt = deliver(storage, source, batch, now, system)
                except UnknownNameError as error:  # a later attempt may succeed
                    reason = f"{error}: the database was reset or restored meanwhile"
                    raise StorageError(reason) from None
                if not _keep_unread(mail, batch, unread):
                    mail.mark_read()
                _report(mail, batch, receipt)
                mails, total = mails + 1, total + receipt.counts
    _echo(
        f"{pluralize(mails, 'mail')}: {total.listed} listed, {total.known} known, "
        f"{total.ignored} ignored, {total.skipped} unread"
    )


def _keep_unread(mail: Incoming, batch: "Batch", folder: Path | None) -> bool:
    """Return whether *mail* could not be read; then copy it into *folder*, if any."""
    if not batch.skipped or batch.events:
        return False
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{hashlib.sha256(mail.raw).hexdigest()[:20]}.eml"
        with folder_beside(target) as temporary:
            copy = temporary / target.name
            copy.write_bytes(mail.raw)
            sync(copy)
            copy.replace(target)
        sync(folder)
    return True


def _report(mail: Incoming, batch: "Batch", receipt: "Receipt") -> None:
    for word, events in (("listed", receipt.listed), ("known", receipt.known)):
        for event in events:
            guess = " (guessed)" if event.guessed else ""
            text = f"{word} {event.email} {event.status} {event.code}"
            _echo(printable(f"{text.rstrip()}{guess}"))
    _report_unlisted(mail, batch, err=False)


def _report_unlisted(mail: Incoming, batch: "Batch", *, err: bool) -> None:
    for event in batch.events:
        if not event.is_listed:
            _echo(printable(f"ignored {event.email} ({event.note})"), err=err)
    for kind in batch.ignored:
        _echo(printable(f"ignored {mail.place} ({kind})"), err=err)
    if not batch.skipped:
        return
    subject = f"unread {mail.place}, Message-ID {_message_id(mail.raw)}"
    for problem in batch.skipped[:MAX_SHOWN]:
        _echo(printable(f"{subject}: {problem}"), err=True)
    if (rest := len(batch.skipped) - MAX_SHOWN) > 0:
        _echo(printable(f"{subject}: {pluralize(rest, 'further problem')}"), err=True)


def _echo(text: str, *, err: bool = False) -> None:
    """Print a line, unless the mail system has closed the stream."""
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        stream = sys.stderr if err else sys.stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _message_id(raw: bytes) -> str:
    head = BytesHeaderParser().parsebytes(raw[:16_384].lstrip())
    return str(head.get("Message-ID", "")).strip()[:200] or "(none)"
