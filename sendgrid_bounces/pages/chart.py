"""The chart of bounces over time: the geometry of its bars."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from sendgrid_bounces.core.histograms import TYPES, Histogram, Interval

#: The size of the chart in units of its coordinates, and the margins for its labels.
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 190, 46, 22, 8

#: The share of an interval that its bar fills.
_FILL = 0.78


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
    """A stacked bar chart, and its numbers for a table."""

    histogram: Histogram
    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - BOTTOM


def draw_chart(histogram: Histogram) -> Chart:
    """Return the chart of *histogram*; the types are stacked in their order."""
    intervals = histogram.intervals
    top = _round_up(max((each.total for each in intervals), default=0))
    return Chart(
        histogram=histogram,
        bars=tuple(_bars(intervals, top)),
        x_ticks=tuple(_x_ticks(intervals)),
        y_ticks=tuple(Tick(_y(value, top), _shorten(value)) for value in _values(top)),
    )


def _bars(intervals: tuple[Interval, ...], top: int) -> Iterable[Bar]:
    step = (WIDTH - LEFT) / max(len(intervals), 1)
    for i, interval in enumerate(intervals):
        below = 0
        for type_ in TYPES:
            name = type_.label
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
        yield Tick(round(LEFT + (i + 0.5) * step, 1), intervals[i].first)


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
