"""What an operation answers, before it is bytes. The serializers write each of them."""

from collections.abc import Iterator
from dataclasses import dataclass

from sendgrid_bounces.core.clock import WallClock
from sendgrid_bounces.storage.bounces import BriefTuple


class Document:
    """An answer; its subclasses are all there are."""


@dataclass(frozen=True, slots=True)
class BounceListing(Document):
    """A list of bounces.

    :param batches: the rows; they can be read once.
    :param clock: tells the time of each bounce; None leaves the times out.
    """

    batches: Iterator[list[BriefTuple]]
    clock: WallClock | None


@dataclass(frozen=True, slots=True)
class Count(Document):
    """A number of bounces, in the form the profile gives it."""

    count: int | str


@dataclass(frozen=True, slots=True)
class Message(Document):
    """The outcome of a deletion."""

    message: str


@dataclass(frozen=True, slots=True)
class ErrorList(Document):
    """Errors, as the direct calls' documentation shows them."""

    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ErrorCode(Document):
    """An error, as the dispatcher was seen to answer it: a code and what it means."""

    code: int | str
    message: str | None


@dataclass(frozen=True, slots=True)
class ErrorText(Document):
    """An error, as the direct calls were seen to answer it."""

    error: str
