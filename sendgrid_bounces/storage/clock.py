"""The clock that all workers on one database share."""

from collections.abc import Callable

from sendgrid_bounces.core.clock import Clock, ClockState
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.tables import ClockRow


class ClockStore:
    """The state of the clock in one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._read = engine.text(ClockRow.select(ClockRow.frozen, ClockRow.ahead))

    def read(self) -> ClockState:
        """Return the state that is stored, or that of the system's clock."""
        rows = self._engine.fetch(self._read)
        return ClockState(*rows[0]) if rows else ClockState()

    def change(self, act: Callable[[ClockState], ClockState]) -> ClockState:
        """Store what *act* makes of the state, as one act; return that."""

        def change() -> ClockState:
            # From here on others wait, or meet a deadlock and begin again.
            self._engine.execute(ClockRow.insert(only=1).on_conflict_ignore())
            state = act(self.read())
            values = {"frozen": state.frozen, "ahead": state.offset}
            self._engine.execute(ClockRow.update(values))
            return state

        return self._engine.transact(change)


class SharedClock(Clock):
    """A clock that shows, in every process, what is set in the database.

    :param system: what tells the time if nothing is set.
    """

    def __init__(self, store: ClockStore, system: Clock) -> None:
        self._store = store
        self.system = system

    def now(self) -> int:
        """Return the current instant."""
        return self._store.read().now(self.system.now())
