"""The clock, the only place that reads the time; instants and durations as text."""

import re
import time
from dataclasses import dataclass

from sendgrid_bounces.core.bounces import EARLIEST, LATEST
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.timezones import DAY, HOUR, time_zone

MAX_DURATION_LENGTH = 32

_DURATION = re.compile(
    r"P(?=.)(?:([0-9]+)W)?(?:([0-9]+)D)?"
    r"(?:T(?=.)(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?"
)
_UNITS = (7 * DAY, DAY, HOUR, 60, 1)


class Clock:
    """The system's clock."""

    @property
    def system(self) -> "Clock":
        """The clock that shows the time if no other time is set."""
        return self

    def now(self) -> int:
        """Return the current instant."""
        return int(time.time())


@dataclass(frozen=True, slots=True)
class ClockState:
    """The difference between a clock and the system's.

    :param frozen: the instant at which the clock is frozen; None for a running clock.
    :param offset: seconds by which a running clock is ahead of the system's.
    """

    frozen: int | None = None
    offset: int = 0

    def now(self, system: int) -> int:
        """Return the time of this clock when the system's clock shows *system*."""
        if self.frozen is not None:
            return self.frozen
        return min(system + self.offset, LATEST)

    def advanced(self, seconds: int, system: int) -> "ClockState":
        """Return the state of this clock after an advance by *seconds*.

        :raises ParametersError: if the clock would leave the years 1 to 9999.
        """
        if self.frozen is not None:
            return ClockState(check_instant(self.frozen + seconds, "duration"))
        check_instant(self.now(system) + seconds, "duration")
        return ClockState(offset=self.offset + seconds)


def check_instant(instant: int, name: str) -> int:
    """Check that *instant* is in the years 1 to 9999, and return the same.

    :param name: the argument that an error is about.
    :raises ParametersError: if *instant* is out of range.
    """
    if not EARLIEST <= instant <= LATEST:
        raise ParametersError([(name, "must stay within the years 1 to 9999")])
    return instant


def parse_instant(text: str) -> int:
    """Return the instant of ``YYYY-MM-DDTHH:MM:SSZ``, in UTC without an offset.

    :raises ParametersError: if *text* has another form or is not a real time.
    """
    try:
        instant = time_zone("UTC").parse(text)
    except ValueError:
        problem = "must be a time such as 2012-02-15T12:00:00Z"
        raise ParametersError([("instant", problem)]) from None
    return check_instant(instant, "instant")


def render_instant(instant: int) -> str:
    """Return *instant* as ``YYYY-MM-DDTHH:MM:SSZ``."""
    return time_zone("UTC").render(instant).replace(" ", "T") + "Z"


def parse_duration(text: str) -> int:
    """Return the seconds of an ISO 8601 duration such as ``PT1H`` or ``P1DT12H``.

    Years and months are not accepted, because their length varies.

    :raises ParametersError: if *text* has another form.
    """
    match = _DURATION.fullmatch(text) if len(text) <= MAX_DURATION_LENGTH else None
    if match is None:
        form = "an ISO 8601 duration in weeks to seconds, such as PT1H or P1DT12H"
        raise ParametersError([("duration", f"must be {form}")])
    return sum(
        int(digits or 0) * unit
        for digits, unit in zip(match.groups(), _UNITS, strict=True)
    )
