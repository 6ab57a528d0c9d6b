"""The results of operations, before serialization."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sendgrid_bounces.dialects.mailgun.params import PageParams
from sendgrid_bounces.storage.bounces import BounceTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A result of v2, v3 or both.

    :param rows_changed: bounces added, replaced or removed; None for a read.
    """

    rows_changed: int | None = None


@dataclass(frozen=True, slots=True)
class Slice(Document):
    """A part of a list in v2.

    :param total: the length of the whole list.
    :param batches: the rows; can be iterated once.
    """

    total: int
    batches: Iterator[list[BounceTuple]]


@dataclass(frozen=True, slots=True)
class Page(Document):
    """A page of a list in v3.

    :param url: the absolute URL of the list.
    """

    rows: Sequence[BounceTuple]
    params: PageParams
    url: str


@dataclass(frozen=True, slots=True)
class Found(Document):
    """One bounce."""

    row: BounceTuple


@dataclass(frozen=True, slots=True)
class Added(Document):
    """A bounce was added or replaced."""

    address: str


@dataclass(frozen=True, slots=True)
class BatchAdded(Document):
    """The bounces of a JSON body were added or replaced."""

    count: int


@dataclass(frozen=True, slots=True)
class Imported(Document):
    """The bounces of a CSV file were added or replaced."""


@dataclass(frozen=True, slots=True)
class Removed(Document):
    """One bounce was removed."""

    address: str


@dataclass(frozen=True, slots=True)
class Cleared(Document):
    """The whole list was removed."""


@dataclass(frozen=True, slots=True)
class ErrorMessage(Document):
    """An error in JSON."""

    message: str


@dataclass(frozen=True, slots=True)
class ErrorText(Document):
    """An error in plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Challenge(ErrorText):
    """A request for credentials."""
