"""Time: the only place that asks for it, and the only one that knows time zones.

An *instant* is a whole number of seconds since 1970-01-01 00:00:00 UTC.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sendgrid_bounces.core.bounces import EARLIEST, LATEST
from sendgrid_bounces.core.errors import ParametersError

QUARTER = 15 * 60
HOUR = 60 * 60
DAY = 24 * HOUR

#: How many days and quarters of an hour a wall clock remembers before it forgets them.
CACHE_SIZE = 10_000

_STAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_ZONE_NAME = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_MINUTES = [f"{minute:02}:{second:02}" for minute in range(60) for second in range(60)]
_DURATION = re.compile(
    r"P(?=.)(?:([0-9]+)W)?(?:([0-9]+)D)?"
    r"(?:T(?=.)(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?"
)
_SECONDS = (7 * DAY, DAY, HOUR, 60, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Clock:
    """Tell the time; a test puts another one in its place."""

    def now(self) -> int:
        """Return the current instant."""
        return int(time.time())


@dataclass(frozen=True, slots=True)
class ClockState:
    """How a clock that was set differs from the system's.

    :param frozen: the instant that it stands at; None if it runs.
    :param offset: the seconds that it is ahead of the system's, if it runs.
    """

    frozen: int | None = None
    offset: int = 0

    def now(self, system: int) -> int:
        """Return what it shows when the system's clock shows *system*."""
        if self.frozen is not None:
            return self.frozen
        return min(system + self.offset, LATEST)

    def advanced(self, seconds: int, system: int) -> "ClockState":
        """Return the state of this clock put forward.

        :raises ParametersError: if it would leave the years 1 to 9999.
        """
        if self.frozen is not None:
            return ClockState(checked_instant(self.frozen + seconds, "duration"))
        checked_instant(self.now(system) + seconds, "duration")
        return ClockState(offset=self.offset + seconds)


class WallClock:
    """Days and times of day in one time zone.

    :raises ParametersError: if the zone is not in the IANA database.
    """

    def __init__(self, zone: str = "UTC") -> None:
        if not _ZONE_NAME.fullmatch(zone):
            raise ParametersError([("timezone", f"unknown time zone {zone!r}")])
        try:
            self._zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ParametersError(
                [("timezone", f"unknown time zone {zone!r}")]
            ) from None
        self.name = zone
        self._offsets = _Cached(self._offset_of_day)
        self._dates = _Cached(_date)
        self._quarters = _Cached(self._quarter)

    def render(self, instant: int) -> str:
        """Return *instant* as ``YYYY-MM-DD HH:MM:SS``."""
        return self.render_all([instant])[0]

    def render_all(
        self, instants: Sequence[int], before: str = "", after: str = ""
    ) -> list[str]:
        """Return *instants* as :meth:`render` does, each between *before* and *after*.

        A long list asks this for each of its rows, in order of time: what neighbours
        share is remembered.
        """
        quarters = self._quarters
        try:
            return [
                f"{before}{hour}{_MINUTES[instant - start]}{after}"
                for instant in instants
                for hour, start in (quarters[instant // QUARTER],)
            ]
        except _UnevenError:
            return [f"{before}{self._render(instant)}{after}" for instant in instants]

    def _render(self, instant: int) -> str:
        day, second = divmod(instant + self._ahead(instant), DAY)
        hour, second = divmod(second, HOUR)
        return f"{_date(day)} {hour:02}:{_MINUTES[second]}"

    def parse(self, text: str) -> int:
        """Return the instant of ``YYYY-MM-DD HH:MM:SS`` in this zone.

        ``T`` may stand for the blank. A final ``Z`` means UTC, and ``+01:00`` what it
        says. Fractions of a second are dropped.

        :raises ValueError: if *text* is nothing of the kind, or no real time.
        """
        match = _STAMP.fullmatch(text)
        if match is None:
            raise ValueError("not a time of the form YYYY-MM-DD HH:MM:SS")
        offset = (match[3] or "").replace("Z", "+00:00")
        moment = datetime.fromisoformat(f"{match[1]} {match[2]}{offset}")
        return _instant(moment if offset else moment.replace(tzinfo=self._zone))

    def today(self, now: int) -> date:
        """Return the day that *now* falls on."""
        return (_EPOCH + timedelta(seconds=now)).astimezone(self._zone).date()

    def day_start(self, day: date) -> int:
        """Return the first instant of *day*."""
        return _instant(datetime(day.year, day.month, day.day, tzinfo=self._zone))

    def day_end(self, day: date) -> int | None:
        """Return the first instant after *day*; None if the calendar ends there."""
        if day == date.max:
            return None
        return self.day_start(day + timedelta(days=1))

    def _quarter(self, quarter: int) -> tuple[str, int]:
        """Return (the local hour as text, the instant at which it begins).

        :raises _UnevenError: if the quarter has no such hour.
        """
        first = quarter * QUARTER
        offset = self._offsets[first // DAY]
        if offset is None:
            offset = self._same_ahead(first, QUARTER)
        if offset is None:
            raise _UnevenError
        day, second = divmod(first + offset, DAY)
        hour, past = divmod(second, HOUR)
        if past > HOUR - QUARTER:
            raise _UnevenError
        return f"{self._dates[day]} {hour:02}:", first - past

    def _offset_of_day(self, day: int) -> int | None:
        """Return how far the zone is ahead of UTC on *day*; None if that changes."""
        return self._same_ahead(day * DAY, DAY)

    def _same_ahead(self, start: int, length: int) -> int | None:
        """Return the offset of *length* seconds: that of both ends, else None.

        No zone ever changed its offset twice within three days.
        """
        first, last = self._ahead(start), self._ahead(start + length - 1)
        return first if first == last else None

    def _ahead(self, instant: int) -> int:
        offset = (
            (_EPOCH + timedelta(seconds=instant)).astimezone(self._zone).utcoffset()
        )
        assert offset is not None  # noqa: S101 - an aware datetime has one
        return round(offset.total_seconds())


class _UnevenError(Exception):
    """An offset changes within a quarter of an hour, or is no multiple of one.

    So it was in 1972 and before.
    """


class _Cached(dict[int, Any]):
    """What is made of a key, until that are too many."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        super().__init__()
        self._create = make

    def __missing__(self, key: int) -> Any:
        if len(self) >= CACHE_SIZE:
            self.clear()
        value = self[key] = self._create(key)
        return value


def _date(day: int) -> str:
    """Return the date that is *day* days after 1970-01-01."""
    return f"{(_EPOCH + timedelta(days=day)).date()}"


def _instant(moment: datetime) -> int:
    return round((moment - _EPOCH).total_seconds())


def checked_instant(instant: int, name: str) -> int:
    """Return *instant*.

    :raises ParametersError: about the argument *name*, if it is not of the years 1 to
        9999.
    """
    if not EARLIEST <= instant <= LATEST:
        raise ParametersError([(name, "must stay within the years 1 to 9999")])
    return instant


def parse_instant(text: str) -> int:
    """Return the instant of ``YYYY-MM-DDTHH:MM:SSZ``, as :meth:`WallClock.parse` does.

    :raises ParametersError: if *text* is nothing of the kind.
    """
    try:
        instant = wall_clock("UTC").parse(text)
    except ValueError:
        rule = "must be a time, as 2012-02-15T12:00:00Z"
        raise ParametersError([("instant", rule)]) from None
    return checked_instant(instant, "instant")


def render_instant(instant: int) -> str:
    """Return *instant* as ``YYYY-MM-DDTHH:MM:SSZ``."""
    return wall_clock("UTC").render(instant).replace(" ", "T") + "Z"


def parse_duration(text: str) -> int:
    """Return the seconds of an ISO 8601 duration, as ``PT1H`` or ``P1DT12H``.

    Years and months are of no certain length, and no duration.

    :raises ParametersError: if *text* is nothing of the kind.
    """
    match = _DURATION.fullmatch(text) if len(text) <= 32 else None  # noqa: PLR2004
    if match is None:
        rule = "must be an ISO 8601 duration of weeks to seconds, as PT1H or P1DT12H"
        raise ParametersError([("duration", rule)])
    return sum(
        int(digits or 0) * unit
        for digits, unit in zip(match.groups(), _SECONDS, strict=True)
    )


@lru_cache(maxsize=64)
def wall_clock(zone: str) -> WallClock:
    """Return the wall clock of *zone*, which remembers what it has rendered."""
    return WallClock(zone)
