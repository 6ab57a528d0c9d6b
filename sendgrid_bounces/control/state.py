"""What the control endpoints, the command line and test suites do to an emulator."""

from dataclasses import dataclass

from sendgrid_bounces.core.clock import Clock, ClockState, checked_instant
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.storage.clock import SharedClock


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What the clock shows: an instant, and whether it stands."""

    now: int
    frozen: bool


class Control:
    """Control of one emulator. All its processes see what is done here."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._storage = emulator.storage

    def clock(self) -> ClockReading:
        """Return what the clock shows."""
        return self._reading(self._storage.clock.read())

    def freeze(self, instant: int | None = None) -> ClockReading:
        """Let the clock stand at *instant*, or at what it shows.

        :raises ParametersError: if that is not of the years 1 to 9999.
        """
        if instant is not None:
            checked_instant(instant, "instant")

        def act(state: ClockState) -> ClockState:
            shown = state.now(self._system.now())
            return ClockState(shown if instant is None else instant)

        return self._reading(self._storage.clock.change(act))

    def advance(self, seconds: int) -> ClockReading:
        """Put the clock forward, whether it stands or runs.

        :raises ParametersError: if it would leave the years 1 to 9999.
        """
        return self._reading(
            self._storage.clock.change(
                lambda state: state.advanced(seconds, self._system.now())
            )
        )

    def reset_clock(self) -> ClockReading:
        """Let the clock show the system's time."""
        return self._reading(self._storage.clock.change(lambda _: ClockState()))

    @property
    def _system(self) -> Clock:
        """What tells the time if nothing is set."""
        clock = self._emulator.clock
        return clock.system if isinstance(clock, SharedClock) else clock

    def _reading(self, state: ClockState) -> ClockReading:
        return ClockReading(state.now(self._system.now()), state.frozen is not None)
