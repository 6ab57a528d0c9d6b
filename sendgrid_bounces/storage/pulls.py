"""Bounces that were pulled from a live account, and the latest pull of each list."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

from sendgrid_bounces.core.bounces import Bounce, BounceQuery, BounceType, fold
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.pulls import UNFINISHED, Pull, WindowResult
from sendgrid_bounces.core.sources import ReceivedBounce
from sendgrid_bounces.storage.bounces import BounceStore, as_bounce
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.rows import chunks
from sendgrid_bounces.storage.sources import SourceStore
from sendgrid_bounces.storage.tables import PullRow

#: Characters kept of a problem.
MAX_PROBLEM = 500

PULL_COLUMNS = [getattr(PullRow, name) for name in Pull.__dataclass_fields__]


class PullStore:
    """The latest pulls in one database."""

    _put = Compiled(lambda engine: engine.compile_upsert(PullRow, ("owner",)))

    def __init__(
        self, engine: Engine, bounces: BounceStore, sources: SourceStore
    ) -> None:
        self._engine = engine
        self._bounces = bounces
        self._sources = sources

    def all(self) -> list[Pull]:
        """Return the latest pull of each list, in the order of the owners."""
        query = PullRow.select(*PULL_COLUMNS).order_by(PullRow.owner)
        return [Pull(*row) for row in self._engine.fetch_query(query)]

    def find(self, owner: str) -> Pull | None:
        """Return the latest pull into the list of *owner*, if there is one."""
        query = PullRow.select(*PULL_COLUMNS).where(PullRow.owner == owner)
        rows = self._engine.fetch_query(query)
        return Pull(*rows[0]) if rows else None

    def record(self, pull: Pull) -> None:
        """Store *pull* in place of the earlier one."""
        values = asdict(pull) | {"problem": pull.problem[:MAX_PROBLEM]}
        self._engine.transact(
            lambda: self._engine.execute(self._put, list(values.values()))
        )

    def end_running(self) -> None:
        """Record that no pull is running, since a backup has replaced the lists."""
        ended = {"failed": None, "problem": ""}
        self._engine.execute_query(
            PullRow.update(ended).where(PullRow.problem == UNFINISHED)
        )

    def apply(
        self,
        bounce_list: int,
        start: int,
        end: int,
        bounces: Mapping[str, Bounce],
        clock: Clock,
        *,
        present: Iterable[str] | None = None,
        excluded_type: BounceType | None = None,
    ) -> WindowResult:
        """Store the bounces of a window in one transaction, then remove absent bounces.

        A newer bounce on the list is kept. A recorded deletion stays in effect.

        :param bounces: by folded address.
        :param present: the folded addresses of all bounces in the window: all other
            addresses are removed from the list; None removes nothing.
        :param excluded_type: the type of bounces that is never removed.
        """
        window = BounceQuery(created_from=start, created_before=end + 1)
        known = None if present is None else {*present}

        def store() -> tuple[int, list[str]]:
            unchanged, missing = set(), []
            for rows in self._bounces.find(bounce_list, window):
                for stored in map(as_bounce, rows):
                    key = fold(stored.email)
                    if bounces.get(key) == stored:
                        unchanged.add(key)
                    elif (
                        known is not None
                        and key not in known
                        and stored.type is not excluded_type
                    ):
                        missing.append(stored.email)
            received = [
                ReceivedBounce(bounce, "")
                for key, bounce in bounces.items()
                if key not in unchanged
            ]
            listed = self._sources.receive(
                bounce_list, received, (), clock.now(), clock.system.now()
            )
            return sum(listed), missing

        self._sources.purge(clock.now(), clock.system.now(), 0)
        changed, missing = self._engine.transact(store)
        removed = sum(  # in parts, so that other writes wait for a part only
            self._bounces.delete(
                bounce_list, replace(window, emails=tuple(chunk)), clock=clock
            )
            for chunk in chunks(missing)
        )
        return WindowResult(len(bounces), changed, removed)
