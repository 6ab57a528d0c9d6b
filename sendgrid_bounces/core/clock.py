"""Time: the only place that asks for it, and the only one that knows time zones.

An *instant* is a whole number of seconds since 1970-01-01 00:00:00 UTC.
"""

import re
import time
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sendgrid_bounces.core.errors import ParametersError

QUARTER = 15 * 60
HOUR = 60 * 60

#: How many offsets and hours a wall clock remembers before it forgets them.
REMEMBERED = 10_000

_STAMP = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(Z?)")
_ZONE_NAME = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_MINUTES = [f"{minute:02}:{second:02}" for minute in range(60) for second in range(60)]
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Clock:
    """Tell the time; a test puts another one in its place."""

    def now(self) -> int:
        """Return the current instant."""
        return int(time.time())


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
        self._offsets: dict[int, int] = {}
        self._hours: dict[int, str] = {}

    def render(self, instant: int) -> str:
        """Return *instant* as ``YYYY-MM-DD HH:MM:SS``.

        A long list calls this once a row, in order of time: what does not change
        between neighbours (the offset within a quarter of an hour, the text of an
        hour) is remembered, and forgotten again before it grows large.
        """
        local = instant + self._offset(instant)
        hour, second = divmod(local, HOUR)
        text = self._hours.get(hour)
        if text is None:
            if len(self._hours) > REMEMBERED:
                self._hours.clear()
            start = _EPOCH + timedelta(hours=hour)
            text = self._hours[hour] = f"{start.year:04}-{start:%m-%d %H}:"
        return text + _MINUTES[second]

    def parse(self, text: str) -> int:
        """Return the instant of ``YYYY-MM-DD HH:MM:SS`` in this zone.

        ``T`` may stand for the blank, and a final ``Z`` means UTC.

        :raises ValueError: if *text* is nothing of the kind, or no real time.
        """
        match = _STAMP.fullmatch(text)
        if match is None:
            raise ValueError("not a time of the form YYYY-MM-DD HH:MM:SS")
        moment = datetime.fromisoformat(f"{match[1]} {match[2]}")
        zone = timezone.utc if match[3] else self._zone
        return _instant(moment.replace(tzinfo=zone))

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

    def _offset(self, instant: int) -> int:
        """Return the seconds that this zone is ahead of UTC at *instant*."""
        quarter = instant // QUARTER
        offset = self._offsets.get(quarter)
        if offset is None:
            start, end = (self._ahead(quarter * QUARTER + s) for s in (0, QUARTER - 1))
            if start != end:  # a change inside the quarter: 1972 and before
                return self._ahead(instant)
            if len(self._offsets) > REMEMBERED:
                self._offsets.clear()
            offset = self._offsets[quarter] = start
        return offset

    def _ahead(self, instant: int) -> int:
        offset = (
            (_EPOCH + timedelta(seconds=instant)).astimezone(self._zone).utcoffset()
        )
        assert offset is not None  # noqa: S101 - an aware datetime has one
        return round(offset.total_seconds())


def _instant(moment: datetime) -> int:
    return round((moment - _EPOCH).total_seconds())


@lru_cache(maxsize=64)
def wall_clock(zone: str) -> WallClock:
    """Return the wall clock of *zone*, which remembers what it has rendered."""
    return WallClock(zone)
