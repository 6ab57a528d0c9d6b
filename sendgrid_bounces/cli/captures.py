"""Requests that were captured, verified and read without a server."""

from collections.abc import Iterator
from email.parser import BytesHeaderParser

import click

from sendgrid_bounces.core.sources import Source
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.receiving.verification import read_request
from sendgrid_bounces.sources.verification import (
    PayloadError,
    SecretError,
    SignatureError,
)


def describe_request(emulator: Emulator, source: Source, raw: bytes) -> Iterator[str]:
    """Yield lines about the events of the request *raw*.

    The age of a signature is not checked: the request may have been captured long ago.

    :raises ClickException: if the source would refuse it.
    """
    headers, body = split_request(raw)
    now = emulator.clock.now()
    try:
        batch = read_request(source, emulator, headers, body, now, system=0)
    except (SignatureError, PayloadError, SecretError) as error:
        raise click.ClickException(f"refused: {error}") from None
    yield f"verified by {' and '.join(source.settings.names)}"
    for event in batch.events:
        status = f"{event.email} {event.status} {event.code}".rstrip()
        yield (
            f"listed {status}"
            if event.is_listed
            else f"ignored {status} ({event.note})"
        )
    for kind, number in batch.ignored.items():
        yield f"ignored {number} ({kind})"
    for problem in batch.skipped:
        yield f"skipped {problem}"
    if batch.confirm_url:
        yield f"open this URL to confirm the subscription: {batch.confirm_url}"


def split_request(raw: bytes) -> tuple[dict[str, str], bytes]:
    """Return the header fields and the body of a request.

    Its lines end in LF or CRLF; a request line is skipped; the body is unchanged.

    :raises ClickException: if there is no empty line after the header fields.
    """
    ends = [raw.find(end) + len(end) for end in (b"\r\n\r\n", b"\n\n") if end in raw]
    if not ends:
        raise click.ClickException("no empty line between header fields and body")
    head, body = raw[: min(ends)], raw[min(ends) :]
    first, _, rest = head.partition(b"\n")
    if b":" not in first.partition(b" ")[0]:
        head = rest
    message = BytesHeaderParser().parsebytes(head)
    return {name: str(value) for name, value in message.items()}, body
