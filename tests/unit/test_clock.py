"""The system's clock, its states, and durations as text."""

from datetime import datetime, timezone

import pytest

from sendgrid_bounces.core.bounces import EARLIEST, LATEST
from sendgrid_bounces.core.clock import Clock, ClockState
from sendgrid_bounces.core.errors import ParametersError


def test_system_clock_has_whole_seconds() -> None:
    """An instant is an integer."""
    now = Clock().now()

    assert isinstance(now, int)
    assert abs(now - datetime.now(timezone.utc).timestamp()) < 60


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (ClockState(), 100),
        (ClockState(offset=5), 105),
        (ClockState(offset=-5), 95),
        (ClockState(frozen=7), 7),
        (ClockState(offset=LATEST), LATEST),
    ],
)
def test_state_determines_the_time(state: ClockState, shown: int) -> None:
    """A running clock is ahead of the system's, but never leaves the calendar."""
    assert state.now(100) == shown


def test_advances_are_limited_by_the_calendar() -> None:
    """A frozen and a running clock stop at the last instant."""
    assert ClockState(EARLIEST).advanced(1, 0) == ClockState(EARLIEST + 1)
    assert ClockState(offset=1).advanced(2, 0) == ClockState(offset=3)
    for state in (ClockState(LATEST), ClockState(offset=LATEST)):
        with pytest.raises(ParametersError, match="duration: the time must be from"):
            state.advanced(1, 0)
