"""The clock that all workers on a database share."""

from collections.abc import Callable

from sendgrid_bounces.core.clock import Clock, ClockState
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.tables import ClockRow


class ClockStore:
    """The state of the clock in a database."""

    _read = Compiled(
        lambda engine: engine.compile(ClockRow.select(ClockRow.frozen, ClockRow.ahead))
    )

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self) -> ClockState:
        """Return the stored state; by default the clock shows the system's time."""
        rows = self._engine.fetch(self._read)
        return ClockState(*rows[0]) if rows else ClockState()

    def change(self, action: Callable[[ClockState], ClockState]) -> ClockState:
        """Apply *action* to the state in one transaction; return the new state."""

        def change() -> ClockState:
            # This locks the row: other changes wait, or are repeated after a deadlock.
            self._engine.execute_query(ClockRow.insert(only=1).on_conflict_ignore())
            state = action(self.read())
            values = {"frozen": state.frozen, "ahead": state.offset}
            self._engine.execute_query(ClockRow.update(values))
            return state

        return self._engine.transact(change)


class SharedClock(Clock):
    """A clock that shows the time set in the database, in every process.

    :param system: the clock that shows the time if no other time is set.
    """

    def __init__(self, store: ClockStore, system: Clock) -> None:
        self._store = store
        self._system = system

    @property
    def system(self) -> Clock:
        """The clock that shows the time if no other time is set."""
        return self._system

    def now(self) -> int:
        """Return the current instant."""
        return self._store.read().now(self._system.now())
