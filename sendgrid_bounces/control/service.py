"""What the control endpoints, the command line and test suites do to an emulator."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sendgrid_bounces.core.clock import Clock, ClockState, check_instant
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.faults import StoredFault
from sendgrid_bounces.core.requests import LoggedRequest, RequestFilter
from sendgrid_bounces.emulator import Emulator, current_emulator
from sendgrid_bounces.schemas.faults import read_fault_rules
from sendgrid_bounces.storage.clock import SharedClock
from sendgrid_bounces.storage.contents import Counts
from sendgrid_bounces.storage.snapshots import Snapshot

_SNAPSHOT_NAME = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,64}")

#: How many requests are shown if nobody says how many, and how many at most.
DEFAULT_LIMIT, MAX_LIMIT = 100, 10_000

#: The least and the greatest status.
STATUSES = (100, 599)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What the clock shows: an instant, and whether it stands."""

    now: int
    frozen: bool


class Control:
    """Control of one emulator. All its processes see what is done here.

    Each method is one act: if it raises, nothing has changed.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._storage = emulator.storage

    def counts(self) -> Counts:
        """Return how much there is."""
        return self._storage.contents.counts()

    def reset(self, *, empty: bool = False) -> Counts:
        """Bring everything back to the seed files, read anew; snapshots stay.

        :param empty: whether to leave nothing instead.
        :returns: how much there is now.
        :raises ParametersError: if a seed file has a fault.
        :raises NameTakenError: if two of them are at odds.
        """
        from sendgrid_bounces.control import reset  # PyYAML is for those who seed

        reset.reset_all(self._emulator, self._system.now(), empty=empty)
        return self.counts()

    def reset_account(self, name: str, *, empty: bool = False) -> Counts:
        """Bring one account back to the seed files, with its customers and domains.

        If no account has this name, the domain of this name. What the seed files do
        not have is removed.

        :param empty: whether to remove it in any case.
        :returns: how much there is now.
        :raises UnknownNameError: if neither the database nor a seed file has it.
        :raises ConflictError: if its reseller or account is not there; or if it is a
            domain that has its account's list.
        :raises ParametersError: if a seed file has a fault.
        """
        from sendgrid_bounces.control import reset

        reset.reset_account(self._emulator, name, empty=empty)
        return self.counts()

    def seed(self, source: str | Mapping[str, Any]) -> Counts:
        """Add what *source* says, the text of a seed file or what one would hold.

        :returns: how much there is now.
        :raises ParametersError: with every fault, each named by its place.
        :raises NameTakenError: if a name belongs to somebody else already.
        """
        from sendgrid_bounces.control import reset

        text = source if isinstance(source, str) else json.dumps(source)
        reset.load_text(self._emulator, text)
        return self.counts()

    def clock(self) -> ClockReading:
        """Return what the clock shows."""
        return self._reading(self._storage.clock.read())

    def freeze(self, instant: int | None = None) -> ClockReading:
        """Let the clock stand at *instant*, or at what it shows.

        :raises ParametersError: if that is not of the years 1 to 9999.
        """
        if instant is not None:
            check_instant(instant, "instant")

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

    def snapshots(self) -> list[Snapshot]:
        """Return what is known of the snapshots, by name."""
        return self._storage.snapshots.all()

    def take_snapshot(self, name: str) -> Snapshot:
        """Keep accounts, domains, bounces and the clock under *name*.

        A snapshot of this name is replaced. Its time is the system's.

        :raises ParametersError: if it cannot be a name.
        :raises ConflictError: if there are too many.
        """
        if not _SNAPSHOT_NAME.fullmatch(name):
            rule = "must be 1 to 64 of the characters A-Z a-z 0-9 . _ -, not dots only"
            raise ParametersError([("name", rule)])
        return self._storage.snapshots.take(name, self._system.now())

    def restore_snapshot(self, name: str) -> Counts:
        """Bring accounts, domains, bounces and the clock back to the snapshot *name*.

        :returns: how much there is now.
        :raises UnknownNameError: if there is none.
        """
        self._storage.snapshots.restore(name)
        return self.counts()

    def remove_snapshot(self, name: str) -> None:
        """Remove the snapshot *name*.

        :raises UnknownNameError: if there is none.
        """
        self._storage.snapshots.remove(name)

    def faults(self) -> list[StoredFault]:
        """Return the fault rules, in the order in which they are asked."""
        return self._storage.faults.all()

    def fault(self, id_: int) -> StoredFault:
        """Return one fault rule.

        :raises UnknownNameError: if there is none of this identifier.
        """
        return self._storage.faults.get(id_)

    def add_fault(self, rule: Mapping[str, Any]) -> int:
        """Add a fault rule, as it is written in JSON; return its identifier.

        :raises ParametersError: naming each field that is wrong.
        """
        (id_,) = self.add_faults(rule)
        return id_

    def add_faults(self, rules: Any) -> list[int]:
        """Add a list of rules, all or none, or the one that *rules* is itself.

        :raises ParametersError: naming each field that is wrong.
        """
        return self._storage.faults.add(read_fault_rules(rules))

    def remove_fault(self, id_: int) -> None:
        """Remove a fault rule.

        :raises UnknownNameError: if there is none of this identifier.
        """
        self._storage.faults.remove(id_)

    def clear_faults(self) -> int:
        """Remove all fault rules; return how many there were."""
        return self._storage.faults.clear()

    def requests(
        self, limit: int = DEFAULT_LIMIT, **filters: Any
    ) -> list[LoggedRequest]:
        """Return the last *limit* requests of the journal that match, oldest first.

        :param filters: those of :class:`EntryFilter`.
        """
        return self._storage.requests.find(RequestFilter(**filters), limit)

    def count_requests(self, **filters: Any) -> int:
        """Return how many requests in the journal match."""
        return self._storage.requests.count(RequestFilter(**filters))

    def clear_requests(self) -> int:
        """Empty the journal; return how many requests it held."""
        return self._storage.requests.clear()

    @property
    def _system(self) -> Clock:
        """What tells the time if nothing is set."""
        clock = self._emulator.clock
        return clock.system if isinstance(clock, SharedClock) else clock

    def _reading(self, state: ClockState) -> ClockReading:
        return ClockReading(state.now(self._system.now()), state.frozen is not None)


def current_control() -> Control:
    """Return the control of the application that answers this request."""
    return Control(current_emulator())
