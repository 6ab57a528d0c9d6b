"""The results of v3's operations, before serialization."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sendgrid_bounces.storage.bounces import BriefTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A result of v3.

    :param rows_changed: bounces deleted; None for a read.
    """

    rows_changed: int | None = None


@dataclass(frozen=True, slots=True)
class Listing(Document):
    """A page of a list, or the bounce of one address."""

    rows: Sequence[BriefTuple]


@dataclass(frozen=True, slots=True)
class NoContent(Document):
    """A completed deletion, which has no body."""


@dataclass(frozen=True, slots=True)
class DailyCounts(Document):
    """The bounces of each day, counted by classification or by domain.

    :param label: the JSON key of a group: ``classification`` or ``domain``.
    :param days: date as ``YYYY-MM-DD`` -> group -> number of bounces.
    """

    label: str
    days: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class FieldErrors(Document):
    """Error messages, each with the parameter it is about, or None."""

    errors: tuple[tuple[str | None, str], ...]


@dataclass(frozen=True, slots=True)
class ErrorPage(Document):
    """An error page in HTML."""

    title: str
