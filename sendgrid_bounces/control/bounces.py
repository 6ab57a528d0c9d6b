"""The part of the control service that manages bounces."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from sendgrid_bounces.control.documents import BounceBatch, BounceCount, BounceOwner
from sendgrid_bounces.core.bounces import Bounce, BounceQuery, Position, classify
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.histograms import (
    DEFAULT_RANGE,
    NO_BOUNCES,
    RANGES,
    Histogram,
    all_days,
    create_histogram,
    last_days,
)
from sendgrid_bounces.core.timezones import TimeZone, account_zone
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.storage.bounces import BriefTuple, as_bounce

#: How many bounces a batch has by default.
DEFAULT_LIMIT = 100

ALL = BounceQuery()

#: The group of a row, by the name of the grouping.
GROUP_OF: Mapping[str, Callable[[BriefTuple, TimeZone], str]] = {
    "type": lambda row, _: classify(row[1]).label,
    "day": lambda row, zone: zone.render(row[3])[:10],
    "domain": lambda row, _: row[0].rpartition("@")[2].lower(),
}


class BounceControl:
    """The bounces of one emulator. An owner is an account, or else a domain."""

    emulator: Emulator

    def owner(self, name: str) -> BounceOwner:
        """Return the account, or else the domain, of this name.

        :raises UnknownNameError: if neither exists.
        """
        return BounceOwner(
            name, self.emulator.storage.accounts.named_list(name).timezone
        )

    def bounces(
        self,
        owner: str,
        query: BounceQuery = ALL,
        *,
        limit: int = DEFAULT_LIMIT,
        offset: int = 0,
        after: str | None = None,
    ) -> BounceBatch:
        """Return at most *limit* bounces that match, oldest first.

        :param offset: the number of bounces to pass over.
        :param after: the cursor ``next`` of the batch before.
        :raises UnknownNameError: if the owner does not exist.
        :raises ParametersError: if the cursor is invalid.
        """
        found = self.emulator.storage.accounts.named_list(owner)
        batches = self.emulator.storage.bounces.find(
            found.id, query, limit + 1, offset, after=_parse_cursor(after)
        )
        rows = [row for batch in batches for row in batch]
        has_more = len(rows) > limit
        return BounceBatch(
            bounces=tuple(as_bounce(row) for row in rows[:limit]),
            next=str(Position(*rows[limit - 1][-2:])) if has_more else None,
        )

    def count_bounces(
        self, owner: str, query: BounceQuery = ALL, by: str | None = None
    ) -> BounceCount:
        """Return the number of bounces that match.

        :param by: also the numbers by ``type``, ``day`` or ``domain``.
        :raises UnknownNameError: if the owner does not exist.
        """
        found = self.emulator.storage.accounts.named_list(owner)
        store = self.emulator.storage.bounces
        if by is None:
            return BounceCount(store.count(found.id, query))
        group, zone = GROUP_OF[by], account_zone(found.timezone)
        counts = Counter(
            group(row, zone)
            for batch in store.find_brief(found.id, query)
            for row in batch
        )
        return BounceCount(counts.total(), dict(sorted(counts.items())))

    def histogram(self, days: str = DEFAULT_RANGE) -> Histogram:
        """Return the numbers of bounces on all lists, up to the newest bounce.

        :param days: a key of :data:`RANGES`.
        """
        counts = self.emulator.storage.bounce_counts
        newest = counts.newest()
        if newest is None:
            return NO_BOUNCES
        number = RANGES[days]
        if number is None:
            oldest = counts.oldest()
            number = all_days(newest if oldest is None else oldest, newest)
        span = last_days(number, newest)
        rows = counts.histogram(span.start, span.end, span.width)
        return create_histogram(span, rows)

    def put_bounces(self, owner: str, bounces: Iterable[Bounce]) -> int:
        """Add *bounces*, replacing those of the same addresses; return their number.

        Either all are stored, or none if the iterable raises an error.

        :raises UnknownNameError: if the owner does not exist.
        """
        found = self.emulator.storage.accounts.named_list(owner)
        return self.emulator.storage.bounces.put(found.id, bounces)

    def remove_bounces(self, owner: str, emails: Sequence[str] = ()) -> int:
        """Remove the bounces of *emails*, or all if there are none; return how many.

        :raises UnknownNameError: if the owner does not exist.
        """
        found = self.emulator.storage.accounts.named_list(owner)
        query = BounceQuery(emails=tuple(emails))
        storage, clock = self.emulator.storage, self.emulator.clock
        return storage.bounces.delete(found.id, query, clock=clock)


def _parse_cursor(cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    try:
        return Position.parse(cursor)
    except ValueError:
        problem = "must be the value of 'next' of a response"
        raise ParametersError([("after", problem)]) from None
