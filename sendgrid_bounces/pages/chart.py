"""The chart of bounces over time: the geometry of its bars."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from sendgrid_bounces.core.bounces import EARLIEST, BounceType
from sendgrid_bounces.core.times import render_instant
from sendgrid_bounces.core.timezones import DAY

#: The number of intervals that a chart has at most.
MAX_BARS = 90

#: The size of the chart in units of its coordinates, and the margins for its labels.
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 190, 46, 22, 8

#: The order of the stacked types, from the bottom.
TYPES = (BounceType.HARD, BounceType.SOFT, BounceType.OTHER)

#: The share of an interval that its bar fills.
_FILL = 0.78


@dataclass(frozen=True, slots=True)
class Interval:
    """The bounces of an interval.

    :param label: its first day, or first and last day.
    """

    label: str
    hard: int
    soft: int
    other: int

    @property
    def total(self) -> int:
        """All bounces."""
        return self.hard + self.soft + self.other


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle: the bounces of one type in one interval."""

    x: float
    y: float
    width: float
    height: float
    type: str
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis."""

    position: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A stacked bar chart, and the same numbers for a table.

    :param days: the days of an interval.
    :param intervals: all intervals, oldest first.
    """

    days: int
    intervals: tuple[Interval, ...]
    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - BOTTOM

    @property
    def total(self) -> int:
        """All bounces in the chart."""
        return sum(interval.total for interval in self.intervals)


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
    width = -(-days // MAX_BARS)
    intervals = -(-days // width)
    end = newest - newest % DAY + DAY
    start = max(end - intervals * width * DAY, EARLIEST - EARLIEST % DAY)
    return Range(start, width, intervals)


def draw_chart(span: Range, counts: Iterable[tuple[int, BounceType, int]]) -> Chart:
    """Return the chart of *counts*: the index of an interval, a type and a number."""
    numbers: Counter[tuple[int, BounceType]] = Counter()
    for position, type_, number in counts:
        numbers[position, type_] += number
    intervals = tuple(
        Interval(_label(span, i), *(numbers[i, type_] for type_ in TYPES))
        for i in range(span.intervals)
    )
    top = _round_up(max((each.total for each in intervals), default=0))
    return Chart(
        days=span.days,
        intervals=intervals,
        bars=tuple(_bars(intervals, top)),
        x_ticks=tuple(_x_ticks(intervals)),
        y_ticks=tuple(Tick(_y(value, top), _shorten(value)) for value in _values(top)),
    )


def _bars(intervals: tuple[Interval, ...], top: int) -> Iterable[Bar]:
    step = (WIDTH - LEFT) / max(len(intervals), 1)
    for i, interval in enumerate(intervals):
        below = 0
        for type_ in TYPES:
            name = type_.name.lower()
            number = getattr(interval, name)
            if number:
                y = _y(below + number, top)
                height = _y(below, top) - y
                title = f"{interval.label}: {number:,} {name}"
                x = LEFT + i * step + step * (1 - _FILL) / 2
                yield Bar(
                    round(x, 1),
                    y,
                    round(step * _FILL, 1),
                    round(height, 1),
                    name,
                    title,
                )
            below += number


def _x_ticks(intervals: tuple[Interval, ...]) -> Iterable[Tick]:
    """Yield about six labels, in the middle of their intervals."""
    step = (WIDTH - LEFT) / max(len(intervals), 1)
    every = max(len(intervals) // 6, 1)
    for i in range(every // 2, len(intervals), every):
        yield Tick(round(LEFT + (i + 0.5) * step, 1), intervals[i].label[:10])


def _y(value: int, top: int) -> float:
    return round(HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP), 1)


def _shorten(value: int) -> str:
    """Return a round number such as ``20k``, which fits beside the axis."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if value and value % size == 0:
            return f"{value // size}{unit}"
    return str(value)


def _values(top: int) -> list[int]:
    """Return the labelled values of the vertical axis."""
    return [0, top] if top % 2 else [0, top // 2, top]


def _round_up(value: int) -> int:
    """Return the smallest of 1, 2, 4, 6, 10, 20, 40, ... that is at least *value*."""
    for exponent in count():
        for digit in (1, 2, 4, 6):
            if value <= digit * 10**exponent:
                return int(digit * 10**exponent)
    raise AssertionError  # pragma: no cover - count() does not end


def _label(span: Range, position: int) -> str:
    first = render_instant(span.start + position * span.width)[:10]
    if span.days == 1:
        return first
    last = render_instant(span.start + (position + 1) * span.width - 1)[:10]
    return f"{first} to {last}"
