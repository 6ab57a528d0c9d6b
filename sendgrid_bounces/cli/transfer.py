"""Import and export of bounces."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from sendgrid_bounces.cli.files import READERS, WRITERS, Record
from sendgrid_bounces.cli.progress import counting_bar, elapsed_time, reading_bar
from sendgrid_bounces.cli.queries import walk
from sendgrid_bounces.cli.text_files import open_input, open_output
from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.timezones import TimeZone, time_zone
from sendgrid_bounces.schemas.bounces import read_record, write_record

if TYPE_CHECKING:
    from sendgrid_bounces.cli.remote import RemoteControl
    from sendgrid_bounces.control.service import Control

#: Rows between two updates of the progress bar.
PROGRESS_INTERVAL = 1_000


def import_file(
    control: "Control | RemoteControl", owner: str, file: str, file_format: str
) -> int:
    """Store all bounces of *file* in the list of *owner*, or none; return how many.

    :raises ParametersError: if a record is invalid; the message names its place.
    """
    zone = time_zone(control.owner(owner).timezone)
    now = control.clock().now
    with open_input(file) as text, ExitStack() as progress:
        update = progress.enter_context(reading_bar(text, "Importing"))

        def bounces() -> Iterator[Bounce]:
            records = READERS[file_format](text)
            yield from _read_bounces(records, zone, now, update)
            progress.close()
            progress.enter_context(elapsed_time("Storing"))

        try:
            return control.put_bounces(owner, bounces())
        except ParametersError as error:
            raise error.within(file, ", ") from None


def export_file(
    control: "Control | RemoteControl", owner: str, file: str, file_format: str
) -> None:
    """Write the bounces of *owner* to *file*."""
    number = control.count_bounces(owner).count
    with counting_bar(number, "Exporting") as update, open_output(file) as text:
        for piece in WRITERS[file_format](_records(control, owner, update)):
            text.write(piece)


def _records(
    control: "Control | RemoteControl", owner: str, update: Callable[[int], Any]
) -> Iterator[Record]:
    for batch in walk(control, owner):
        for bounce in batch.bounces:
            yield write_record(bounce)
        update(len(batch.bounces))


def _read_bounces(
    records: Iterable[tuple[str, Record]],
    zone: TimeZone,
    now: int,
    update: Callable[[], None],
) -> Iterator[Bounce]:
    """Yield the bounces of *records*, calling *update* at regular intervals.

    :param now: the creation time of records without one.
    """
    for number, (place, record) in enumerate(records):
        try:
            yield read_record(record, zone, now)
        except ParametersError as error:
            raise error.within(place, ", ") from None
        if number % PROGRESS_INTERVAL == 0:
            update()
