"""Options that select bounces, and lists of bounces that are read in batches."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import click

from sendgrid_bounces.control.documents import BounceBatch, render_bounce
from sendgrid_bounces.core.bounces import TYPES_BY_LABEL, BounceQuery
from sendgrid_bounces.core.times import parse_time
from sendgrid_bounces.core.timezones import account_zone

if TYPE_CHECKING:
    from sendgrid_bounces.cli.remote import RemoteControl
    from sendgrid_bounces.control.service import Control
    from sendgrid_bounces.core.timezones import TimeZone

#: Bounces that are read at once.
BATCH_SIZE = 1_000

ALL = BounceQuery()

_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")

_OPTIONS = (
    click.option(
        "--email",
        multiple=True,
        metavar="GLOB",
        help="Only this address; * matches any text, ? any character. May be repeated.",
    ),
    click.option(
        "--type",
        "type_",
        type=click.Choice([*TYPES_BY_LABEL]),
        help="Only bounces of this type.",
    ),
    click.option(
        "--status",
        metavar="GLOB",
        help="Only this status; * and ? as above, such as 5.1.*.",
    ),
    click.option(
        "--days",
        type=click.IntRange(1),
        help="Only bounces of the last N days, today included.",
    ),
    click.option("--since", metavar="TIME", help="Only bounces since a date or time."),
    click.option(
        "--until",
        metavar="TIME",
        help="Only bounces before a time, or until the end of a date.",
    ),
)


def QUERY_OPTIONS(command: Callable[..., Any]) -> Callable[..., Any]:  # noqa: N802 - used like the constants
    """Add the options that select bounces to *command*."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_query(
    control: "Control | RemoteControl",
    timezone: str,
    *,
    email: tuple[str, ...],
    type_: str | None,
    status: str | None,
    days: int | None,
    since: str | None,
    until: str | None,
) -> BounceQuery:
    """Return the query of the options.

    :param timezone: the zone of days, and of times without a zone.
    :raises UsageError: if a time is invalid, or ``--days`` is combined with a time.
    """
    zone = account_zone(timezone)
    query = BounceQuery(
        created_from=_start(since, zone),
        created_before=_end(until, zone),
        type=None if type_ is None else TYPES_BY_LABEL[type_],
        status_glob=status or "",
        email_globs=email,
    )
    if days is None:
        return query
    if since is not None or until is not None:
        raise click.UsageError("--days cannot be combined with --since or --until")
    today = zone.today(control.clock().now)
    first = today - timedelta(min(days, today.toordinal()) - 1)
    start, end = zone.day_starts[first], zone.day_end(today)
    return replace(query, created_from=start, created_before=end)


def walk(
    control: "Control | RemoteControl",
    owner: str,
    query: BounceQuery = ALL,
    *,
    limit: int | None = None,
    offset: int = 0,
    after: str | None = None,
) -> Iterator[BounceBatch]:
    """Yield the bounces that match, oldest first, in batches.

    :param after: the cursor to start after.
    """
    while True:
        size = BATCH_SIZE if limit is None else min(BATCH_SIZE, limit)
        batch = control.bounces(owner, query, limit=size, offset=offset, after=after)
        yield batch
        limit = None if limit is None else limit - len(batch.bounces)
        if batch.next is None or not batch.bounces or limit == 0:
            return
        offset, after = 0, batch.next


def echo_batches(batches: Iterable[BounceBatch]) -> None:
    """Print batches as one JSON document, a bounce per line, while they are read."""
    click.echo('{"bounces": [', nl=False)
    before = "\n"
    cursor = None
    for batch in batches:
        for bounce in batch.bounces:
            click.echo(before + json.dumps(render_bounce(bounce)), nl=False)
            before = ",\n"
        cursor = batch.next
    click.echo(f'], "next": {json.dumps(cursor)}}}')


def _start(text: str | None, zone: "TimeZone") -> int | None:
    """Return the first instant of a date, or a time."""
    if text is None:
        return None
    day = _parse_date(text)
    return _parse_time("--since", text, zone) if day is None else zone.day_starts[day]


def _end(text: str | None, zone: "TimeZone") -> int | None:
    """Return the first instant after a date, or a time."""
    if text is None:
        return None
    day = _parse_date(text)
    return _parse_time("--until", text, zone) if day is None else zone.day_end(day)


def _parse_date(text: str) -> date | None:
    """Return the date in *text*, if it is one."""
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def _parse_time(option: str, text: str, zone: "TimeZone") -> int:
    try:
        return parse_time(text, zone)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error} (got {text[:40]!r})") from None
