"""The clock, the only place that reads the time."""

import time
from dataclasses import dataclass

from sendgrid_bounces.core.bounces import LATEST
from sendgrid_bounces.core.times import check_instant


def system_milliseconds() -> int:
    """Return the system time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


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

        :raises ParametersError: if the clock would leave its range.
        """
        if self.frozen is not None:
            return ClockState(check_instant(self.frozen + seconds, "duration"))
        check_instant(self.now(system) + seconds, "duration")
        return ClockState(offset=self.offset + seconds)
