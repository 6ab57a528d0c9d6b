"""The numbers of bounces over time: intervals of whole days in UTC, by type."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sendgrid_bounces.core.bounces import EARLIEST, TYPES_BY_LABEL, BounceType
from sendgrid_bounces.core.times import render_instant
from sendgrid_bounces.core.timezones import DAY

#: The days that a histogram covers, by name. None for all days.
RANGES: Mapping[str, int | None] = {"30": 30, "90": 90, "365": 365, "all": None}
DEFAULT_RANGE = "90"

#: The days of the range "all" at most: everything that a bounce can have.
MAX_DAYS = 400 * 366

#: The number of intervals that a histogram has at most.
MAX_INTERVALS = 90

#: The order of the types.
TYPES = tuple(TYPES_BY_LABEL.values())


@dataclass(frozen=True, slots=True)
class Interval:
    """The bounces of an interval.

    :param first: its first day, such as ``2012-02-15``.
    :param last: its last day.
    """

    first: str
    last: str
    hard: int
    soft: int
    other: int

    @property
    def total(self) -> int:
        """All bounces."""
        return self.hard + self.soft + self.other

    @property
    def label(self) -> str:
        """The day, or the first and the last day."""
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


@dataclass(frozen=True, slots=True)
class Histogram:
    """The bounces of consecutive intervals, which end with the newest bounce.

    :param days: the days of each interval.
    :param intervals: none without bounces.
    """

    days: int
    intervals: tuple[Interval, ...]

    @property
    def total(self) -> int:
        """All bounces."""
        return sum(interval.total for interval in self.intervals)


NO_BOUNCES = Histogram(1, ())


@dataclass(frozen=True, slots=True)
class Range:
    """Consecutive intervals of whole days in UTC.

    :param start: the first instant.
    :param days: the days of an interval.
    """

    start: int
    days: int
    intervals: int

    @property
    def width(self) -> int:
        """The seconds of an interval."""
        return self.days * DAY

    @property
    def end(self) -> int:
        """The first instant after the last interval."""
        return self.start + self.intervals * self.width


def last_days(days: int, newest: int) -> Range:
    """Return a range of at least *days* days, the last of which contains *newest*."""
    width = -(-days // MAX_INTERVALS)
    intervals = -(-days // width)
    end = newest - newest % DAY + DAY
    start = max(end - intervals * width * DAY, EARLIEST - EARLIEST % DAY)
    return Range(start, width, intervals)


def all_days(oldest: int, newest: int) -> int:
    """Return the number of days from *oldest* to *newest*."""
    return min(newest // DAY - oldest // DAY + 1, MAX_DAYS)


def create_histogram(
    span: Range, counts: Iterable[tuple[int, BounceType, int]]
) -> Histogram:
    """Return the histogram of *counts*: the index of an interval, a type, a number."""
    numbers: Counter[tuple[int, BounceType]] = Counter()
    for position, type_, number in counts:
        numbers[position, type_] += number
    return Histogram(
        span.days,
        tuple(
            Interval(
                _day(span.start + i * span.width),
                _day(span.start + (i + 1) * span.width - 1),
                *(numbers[i, type_] for type_ in TYPES),
            )
            for i in range(span.intervals)
        ),
    )


def _day(instant: int) -> str:
    return render_instant(instant)[:10]
