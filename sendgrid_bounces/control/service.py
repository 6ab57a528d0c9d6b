"""Operations on an emulator for the control endpoints, the command line and tests."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sendgrid_bounces import __version__
from sendgrid_bounces.control import reasons
from sendgrid_bounces.control.accounts import AccountControl
from sendgrid_bounces.control.bounces import BounceControl
from sendgrid_bounces.control.documents import ClockReading, Overview
from sendgrid_bounces.control.sources import SourceControl
from sendgrid_bounces.core.clock import Clock, ClockState
from sendgrid_bounces.core.contents import Counts, Snapshot
from sendgrid_bounces.core.errors import ParametersError, UnknownNameError
from sendgrid_bounces.core.faults import StoredFault
from sendgrid_bounces.core.migration import MigrationReport, report_migration
from sendgrid_bounces.core.names import SLUG, SLUG_RULE
from sendgrid_bounces.core.requests import MAX_ID, LoggedRequest, RequestFilter
from sendgrid_bounces.core.times import check_instant
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.schemas.faults import check_names, read_fault_rules
from sendgrid_bounces.schemas.requests import DEFAULT_LIMIT, DEFAULT_WAIT

#: Seconds between two queries of the request log.
POLL_INTERVAL = 0.05


@dataclass(frozen=True, slots=True)
class Control(AccountControl, BounceControl, SourceControl):
    """Control of one emulator.

    Changes are visible to all processes on its database. A method that raises has
    changed nothing.
    """

    emulator: Emulator

    def overview(self) -> Overview:
        """Return the versions, the contents and the number of seed files."""
        config, engine = self.emulator.config, self.emulator.storage.engine
        return Overview(__version__, engine.name, len(config.seed), self.counts())

    def counts(self) -> Counts:
        """Return the numbers of accounts, domains and bounces."""
        return self.emulator.storage.contents.counts()

    def reset(self, *, empty: bool = False) -> Counts:
        """Erase everything except snapshots, and reload the seed files from disk.

        :param empty: whether to leave the database empty instead.
        :raises ParametersError: if a seed file is invalid.
        :raises NameTakenError: if two seed files disagree on the owner of a name.
        """
        from sendgrid_bounces.control import reset  # loads PyYAML

        reset.reset_all(self.emulator, self._system.now(), empty=empty)
        return self.counts()

    def reset_account(self, name: str, *, empty: bool = False) -> Counts:
        """Reset one account with its customers and domains, or else one domain.

        An account that is not in the seed files is removed.

        :param empty: whether to remove the account in any case.
        :raises UnknownNameError: if neither the database nor a seed file has the name.
        :raises ConflictError: if the reseller or account it belongs to does not exist,
            or if the domain shares the list of its account.
        :raises ParametersError: if a seed file is invalid.
        """
        from sendgrid_bounces.control import reset  # loads PyYAML

        reset.reset_account(self.emulator, name, empty=empty)
        return self.counts()

    def seed(self, source: str | Mapping[str, Any]) -> Counts:
        """Load a seed.

        :param source: the text of a seed file, or its data.
        :raises ParametersError: with every problem and its path.
        :raises NameTakenError: if a name exists under another owner.
        """
        from sendgrid_bounces.control import reset  # loads PyYAML

        text = source if isinstance(source, str) else json.dumps(source)
        reset.load_text(self.emulator, text)
        return self.counts()

    def clock(self) -> ClockReading:
        """Return the time of the clock."""
        return self._reading(self.emulator.storage.clock.read())

    def freeze(self, instant: int | None = None) -> ClockReading:
        """Freeze the clock at *instant*, or at its current time.

        :raises ParametersError: if *instant* is out of range.
        """
        if instant is not None:
            check_instant(instant, "instant")

        def freeze(state: ClockState) -> ClockState:
            shown = state.now(self._system.now())
            return ClockState(shown if instant is None else instant)

        return self._reading(self.emulator.storage.clock.change(freeze))

    def set_clock(self, instant: int) -> ClockReading:
        """Set the clock to *instant*, and let it run.

        :raises ParametersError: if *instant* is out of range.
        """
        offset = check_instant(instant, "instant") - self._system.now()
        return self._reading(
            self.emulator.storage.clock.change(lambda _: ClockState(offset=offset))
        )

    def advance(self, seconds: int) -> ClockReading:
        """Advance the clock, frozen or not.

        :raises ParametersError: if the clock would leave its range.
        """
        return self._reading(
            self.emulator.storage.clock.change(
                lambda state: state.advanced(seconds, self._system.now())
            )
        )

    def reset_clock(self) -> ClockReading:
        """Return the clock to the system time."""
        return self._reading(self.emulator.storage.clock.change(lambda _: ClockState()))

    def snapshots(self) -> list[Snapshot]:
        """Return the snapshots, sorted by name."""
        return self.emulator.storage.snapshots.all()

    def take_snapshot(self, name: str) -> Snapshot:
        """Save accounts, domains, bounces and the clock, replacing a snapshot *name*.

        The snapshot has the system time.

        :raises ParametersError: if *name* is invalid.
        :raises ConflictError: if there are too many snapshots.
        """
        if not SLUG.fullmatch(name):
            raise ParametersError([("name", SLUG_RULE)])
        return self.emulator.storage.snapshots.take(name, self._system.now())

    def restore_snapshot(self, name: str) -> Counts:
        """Restore accounts, domains, bounces and the clock from a snapshot.

        :raises UnknownNameError: if the snapshot does not exist.
        """
        self.emulator.storage.snapshots.restore(name)
        return self.counts()

    def remove_snapshot(self, name: str) -> None:
        """Remove a snapshot.

        :raises UnknownNameError: if the snapshot does not exist.
        """
        self.emulator.storage.snapshots.remove(name)

    def faults(self) -> list[StoredFault]:
        """Return the fault rules in the order in which they are tried."""
        return self.emulator.storage.faults.all()

    def fault(self, id_: int) -> StoredFault:
        """Return a fault rule.

        :raises UnknownNameError: if the rule does not exist.
        """
        return self.emulator.storage.faults.get(id_)

    def add_fault(self, rule: Mapping[str, Any]) -> int:
        """Add a fault rule, and return its identifier.

        :param rule: the fields of the rule, as in JSON.
        :raises ParametersError: with every problem.
        """
        (id_,) = self.add_faults(rule)
        return id_

    def add_faults(self, rules: Any) -> list[int]:
        """Add a fault rule or a list of rules, and return the identifiers.

        :raises ParametersError: with every problem; then no rule is added.
        """
        parsed = read_fault_rules(rules, self.emulator.operations)
        return self.emulator.storage.faults.add(parsed)

    def remove_fault(self, id_: int) -> None:
        """Remove a fault rule.

        :raises UnknownNameError: if the rule does not exist.
        """
        self.emulator.storage.faults.remove(id_)

    def clear_faults(self) -> int:
        """Remove all fault rules, and return their number."""
        return self.emulator.storage.faults.clear()

    def requests(
        self, limit: int = DEFAULT_LIMIT, **filters: Any
    ) -> list[LoggedRequest]:
        """Return the last *limit* logged requests that match, oldest first.

        With the filter *after*, return the oldest entries instead.

        :param filters: the fields of :class:`RequestFilter`.
        :raises ParametersError: if a dialect or an operation is unknown.
        """
        return self.emulator.storage.requests.find(self._filter(filters), limit)

    def request(self, id_: int) -> LoggedRequest:
        """Return a logged request.

        :raises UnknownNameError: if it is not in the log, or no longer.
        """
        if id_ > MAX_ID:  # more than a column holds
            raise UnknownNameError("request", str(id_))
        return self.emulator.storage.requests.get(id_)

    def explain(self, entry: LoggedRequest) -> str | None:
        """Return why a request has the status 400, 401, 403, 404 or 429, or None."""
        return reasons.explain(self.emulator, entry)

    def count_requests(self, **filters: Any) -> int:
        """Return the number of logged requests that match.

        :param filters: the fields of :class:`RequestFilter`.
        :raises ParametersError: if a dialect or an operation is unknown.
        """
        return self.emulator.storage.requests.count(self._filter(filters))

    def wait_for_requests(
        self, count: int = 1, timeout: float = DEFAULT_WAIT, **filters: Any
    ) -> int:
        """Wait until *count* logged requests match, and return their number.

        :param timeout: in seconds; then the number is smaller than *count*.
        :param filters: the fields of :class:`RequestFilter`.
        :raises ParametersError: if a dialect or an operation is unknown.
        """
        deadline = time.monotonic() + timeout
        while (found := self.count_requests(**filters)) < count:
            if time.monotonic() >= deadline:
                break
            time.sleep(POLL_INTERVAL)
        return found

    def clear_requests(self) -> int:
        """Clear the request log, and return the number of requests in it."""
        return self.emulator.storage.requests.clear()

    def migration(self) -> MigrationReport:
        """Return the distinct logged calls that have a successor, and its requests."""
        entries = self.emulator.storage.requests
        return report_migration(
            (entry, dialect.read_migration())
            for dialect in self.emulator.dialects
            if dialect.read_migration is not None
            for entry in entries.walk(RequestFilter(dialect=dialect.name))
        )

    def _filter(self, filters: Mapping[str, Any]) -> RequestFilter:
        wanted = RequestFilter(**filters)
        operations = self.emulator.operations
        if problems := [*check_names(operations, wanted.dialect, wanted.operation)]:
            raise ParametersError(problems)
        return wanted

    @property
    def _system(self) -> Clock:
        """The clock that the shared clock is an offset to."""
        return self.emulator.clock.system

    def _reading(self, state: ClockState) -> ClockReading:
        return ClockReading(state.now(self._system.now()), state.frozen is not None)
