"""The results of operations, before serialization."""

from collections.abc import Iterator
from dataclasses import dataclass

from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.storage.bounces import BriefTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A result that every serializer has a form for.

    :param rows_changed: bounces deleted; None for a read.
    """

    rows_changed: int | None = None


@dataclass(frozen=True, slots=True)
class BounceListing(Document):
    """A list of bounces.

    :param batches: the rows; can be iterated once.
    :param zone: renders the time of each bounce; None omits the times.
    """

    batches: Iterator[list[BriefTuple]]
    zone: TimeZone | None


@dataclass(frozen=True, slots=True)
class Count(Document):
    """A number of bounces."""

    count: int


@dataclass(frozen=True, slots=True)
class Message(Document):
    """The outcome of a deletion."""

    message: str


@dataclass(frozen=True, slots=True)
class ErrorList(Document):
    """One or more error messages."""

    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ErrorCode(Document):
    """An error code of the resellers' dispatcher, and its message."""

    code: int | str
    message: str | None
