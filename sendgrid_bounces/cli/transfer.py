"""Import and export of bounces."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sendgrid_bounces.cli.doubts import Doubts, echo_warning
from sendgrid_bounces.cli.progress import counting_bar, reading_bar
from sendgrid_bounces.cli.queries import walk
from sendgrid_bounces.cli.text_files import open_input, open_output
from sendgrid_bounces.control.documents import render_bounce
from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.messages import printable_lines
from sendgrid_bounces.core.timezones import account_zone
from sendgrid_bounces.schemas.exports import WRITERS, Record
from sendgrid_bounces.schemas.imports import ImportOptions, read_bounces

if TYPE_CHECKING:
    from sendgrid_bounces.cli.remote import RemoteControl
    from sendgrid_bounces.control.service import Control

#: Rows between two updates of the progress bar.
PROGRESS_INTERVAL = 1_000


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The numbers of imported and of skipped bounces."""

    stored: int
    skipped: int


def import_file(
    control: "Control | RemoteControl",
    owner: str,
    file: str,
    file_format: str,
    *,
    encoding: str | None = None,
    ignores_unknown: bool = False,
    skips_invalid: bool = False,
    is_strict: bool = False,
    is_dry_run: bool = False,
) -> ImportResult:
    """Store all bounces of *file* in the list of *owner*, or none.

    :param encoding: UTF-8 by default.
    :param skips_invalid: whether to skip invalid bounces, with a warning.
    :param is_strict: whether implausible bounces are invalid.
    :param is_dry_run: whether to store nothing.
    :raises ParametersError: if a record is invalid; the message names its place.
    """
    skipped: list[str] = []
    doubts = Doubts(is_strict=is_strict)

    def skip(error: ParametersError) -> None:
        skipped.append("")
        echo_warning(f"skipped {file}, {error}")

    def check(place: str, bounce: Bounce) -> None:
        doubts.check(f"{file}, {place}, ", bounce)

    options = ImportOptions(
        zone=account_zone(control.owner(owner).timezone),
        now=control.clock().now,
        ignores_unknown=ignores_unknown,
        on_invalid=skip if skips_invalid else None,
        check=check,
    )
    errors = "strict" if encoding else "surrogateescape"
    with (
        open_input(file, encoding or "utf-8-sig", errors) as text,
        reading_bar(text, "Importing") as update,
    ):
        found = _updating(read_bounces(text, file_format, options), update)
        try:
            if is_dry_run:
                stored = sum(1 for _ in found)
            else:
                stored = control.put_bounces(owner, found)
        except ParametersError as error:
            raise error.within(file, ", ") from None
    doubts.finish()
    return ImportResult(stored, len(skipped))


def export_file(
    control: "Control | RemoteControl", owner: str, file: str, file_format: str
) -> None:
    """Write the bounces of *owner* to *file*.

    Control characters of strangers are escaped at a terminal.
    """
    number = control.count_bounces(owner).count
    with counting_bar(number, "Exporting") as update, open_output(file) as text:
        shown = printable_lines if text.isatty() else str
        for piece in WRITERS[file_format](_records(control, owner, update)):
            text.write(shown(piece))


def _records(
    control: "Control | RemoteControl", owner: str, update: Callable[[int], Any]
) -> Iterator[Record]:
    for batch in walk(control, owner):
        for bounce in batch.bounces:
            yield render_bounce(bounce)
        update(len(batch.bounces))


def _updating(
    bounces: Iterable[Bounce], update: Callable[[], None]
) -> Iterator[Bounce]:
    """Yield *bounces*, calling *update* at regular intervals."""
    for number, bounce in enumerate(bounces):
        yield bounce
        if number % PROGRESS_INTERVAL == 0:
            update()
