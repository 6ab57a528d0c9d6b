"""Time zones: convert instants to local days and times of day, and back.

An *instant* is a whole number of seconds since 1970-01-01 00:00:00 UTC.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from sendgrid_bounces.core.errors import ParametersError, StorageError

QUARTER = 15 * 60
HOUR = 60 * 60
DAY = 24 * HOUR

#: The number of days, or of quarters of an hour, that a zone caches.
MAX_CACHED_PERIODS = 10_000

#: Longest name of a zone in characters.
MAX_NAME = 64

_ZONE_NAME = re.compile(rf"[A-Za-z0-9_+/-]{{1,{MAX_NAME}}}")
_MINUTES = [f"{minute:02}:{second:02}" for minute in range(60) for second in range(60)]
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _unknown(name: str) -> ParametersError:
    """Return an error that suggests the time zone of a city."""
    found = _zones_by_city().get(name.lower())
    hint = f" (did you mean {found}?)" if found else ""
    problem = f"unknown time zone {name[:MAX_NAME]!r}{hint}"
    return ParametersError([("timezone", problem)])


@lru_cache(maxsize=1)
def _zones_by_city() -> dict[str, str]:
    """Return the names of time zones by name and by city, in lower case."""
    names = sorted(available_timezones(), key=lambda name: ("/" not in name, name))
    cities = {name.rpartition("/")[2].lower(): name for name in names}
    return cities | {name.lower(): name for name in names}


class TimeZone:
    """A time zone of the IANA database.

    :raises ParametersError: if the zone is unknown.
    """

    def __init__(self, name: str = "UTC") -> None:
        if not _ZONE_NAME.fullmatch(name):
            raise _unknown(name)
        try:
            self._zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise _unknown(name) from None
        self.name = name
        self._offsets = _Memo(self._offset_of_day)
        self._dates = _Memo(_date)
        self._quarters = _Memo(self._quarter)
        #: The first instant of each day, by its date.
        self.day_starts: Mapping[date, int] = _Memo(self._day_start)

    def render(self, instant: int) -> str:
        """Return *instant* as ``YYYY-MM-DD HH:MM:SS``."""
        return self.render_all([instant])[0]

    def render_all(
        self, instants: Sequence[int], before: str = "", after: str = ""
    ) -> list[str]:
        """Return each of *instants* as ``YYYY-MM-DD HH:MM:SS``.

        This is fast for long lists in the order of time, because neighbours share
        cached hours.

        :param before: text to put before each time.
        :param after: text to put after each time.
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

    def instant(self, moment: datetime) -> int:
        """Return the instant of *moment*, which is in this zone unless it has another.

        :raises OverflowError: if *moment* is too close to the year 1 or 9999.
        """
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone)
        return _instant(moment)

    def today(self, now: int) -> date:
        """Return the local day of the instant *now*."""
        return (_EPOCH + timedelta(seconds=now)).astimezone(self._zone).date()

    def day_end(self, day: date) -> int | None:
        """Return the first instant of the next day; None for the last day of all."""
        if day == date.max:
            return None
        return self.day_starts[day + timedelta(days=1)]

    def _day_start(self, day: date) -> int:
        return _instant(datetime(day.year, day.month, day.day, tzinfo=self._zone))

    def _render(self, instant: int) -> str:
        day, second = divmod(instant + self._offset(instant), DAY)
        hour, second = divmod(second, HOUR)
        return f"{_date(day)} {hour:02}:{_MINUTES[second]}"

    def _quarter(self, quarter: int) -> tuple[str, int]:
        """Return the local hour as text and the instant of its beginning.

        :raises _UnevenError: if the quarter crosses the border of a local hour.
        """
        first = quarter * QUARTER
        offset = self._offsets[first // DAY]
        if offset is None:
            offset = self._constant_offset(first, QUARTER)
        if offset is None:
            raise _UnevenError
        day, second = divmod(first + offset, DAY)
        hour, past = divmod(second, HOUR)
        if past > HOUR - QUARTER:
            raise _UnevenError
        return f"{self._dates[day]} {hour:02}:", first - past

    def _offset_of_day(self, day: int) -> int | None:
        """Return the offset from UTC on *day*; None for a day with a change."""
        return self._constant_offset(day * DAY, DAY)

    def _constant_offset(self, start: int, length: int) -> int | None:
        """Return the offset during *length* seconds; None if there is a change.

        Comparing both ends suffices: no zone changed its offset twice in three days.
        """
        first, last = self._offset(start), self._offset(start + length - 1)
        return first if first == last else None

    def _offset(self, instant: int) -> int:
        offset = (
            (_EPOCH + timedelta(seconds=instant)).astimezone(self._zone).utcoffset()
        )
        assert offset is not None  # noqa: S101 - an aware datetime has one
        return round(offset.total_seconds())


class _UnevenError(Exception):
    """A quarter of an hour crosses the border of a local hour (until 1972)."""


class _Memo(dict[Any, Any]):
    """A memo dict, cleared at a size of :data:`MAX_CACHED_PERIODS`."""

    def __init__(self, create: Callable[[Any], Any]) -> None:
        super().__init__()
        self._create = create

    def __missing__(self, key: Any) -> Any:
        if len(self) >= MAX_CACHED_PERIODS:
            self.clear()
        value = self[key] = self._create(key)
        return value


def _date(day: int) -> str:
    """Return the date *day* days after 1970-01-01."""
    return f"{(_EPOCH + timedelta(days=day)).date()}"


def _instant(moment: datetime) -> int:
    return (moment - _EPOCH) // _SECOND


@lru_cache(maxsize=64)
def time_zone(name: str) -> TimeZone:
    """Return the zone *name* with its caches."""
    return TimeZone(name)


@lru_cache(maxsize=64)
def account_zone(name: str) -> TimeZone:
    """Return the zone *name* of an account, which was known when it was stored.

    :raises StorageError: if the zone is unknown here: the database comes from a system
        with newer time zones.
    """
    try:
        return time_zone(name)
    except ParametersError:
        text = f"this system does not know the time zone {name[:MAX_NAME]!r}"
        raise StorageError(f"{text} of an account (upgrade tzdata)") from None
