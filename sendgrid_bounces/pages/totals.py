"""The numbers of bounces on the pages. Large numbers are counted every few seconds."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar, cast

from flask import Flask, current_app

from sendgrid_bounces.core.bounces import BounceQuery, BounceType
from sendgrid_bounces.storage.database import Storage

EXTENSION = "sendgrid_bounces.totals"

#: Bounces that are counted anew for each page.
MOST_COUNTED = 10_000

#: Seconds that a larger number is shown for.
LIFETIME = 5.0

#: A key of the cache: a list, or the numbers of all lists by type.
Key = int | str

Counted = TypeVar("Counted")


@dataclass(frozen=True, slots=True)
class Total:
    """The length of a list.

    :param is_exact: False if it may be a few seconds old.
    """

    number: int
    is_exact: bool = True


class Totals:
    """The numbers of bounces in a database.

    :param now: returns a monotonic time in seconds.
    """

    def __init__(
        self, storage: Storage, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._bounces, self._counts = storage.bounces, storage.bounce_counts
        self._now = now
        self._kept: dict[Key, tuple[float, object]] = {}
        self._locks: defaultdict[Key, Lock] = defaultdict(Lock)

    def of_list(self, bounce_list: int) -> Total:
        """Return the length of a list."""
        if not self._bounces.has_more_than(bounce_list, MOST_COUNTED):
            return Total(self._bounces.count(bounce_list, BounceQuery()))
        number = self._keep(
            bounce_list, lambda: self._bounces.count(bounce_list, BounceQuery())
        )
        return Total(number, is_exact=False)

    def of_types(self) -> Mapping[int, Mapping[BounceType, int]]:
        """Return the number of bounces of each type, of each list that has some."""
        return self._keep("types", self._counts.of_types)

    def clear(self) -> None:
        """Count everything anew: the state was changed on a page."""
        self._kept.clear()

    def _keep(self, key: Key, count: Callable[[], Counted]) -> Counted:
        """Return the kept result of *count*; keep a large one.

        Simultaneous callers wait for the first, instead of counting the same.
        """
        with self._locks[key]:
            expires, kept = self._kept.get(key, (0.0, None))
            if kept is not None and self._now() < expires:
                return cast(Counted, kept)
            counted = count()
            self._kept.pop(key, None)
            if _sum(counted) > MOST_COUNTED:
                self._kept[key] = self._now() + LIFETIME, counted
            return counted


def register(app: Flask, storage: Storage) -> None:
    """Keep the numbers of *storage* in *app*."""
    app.extensions[EXTENSION] = Totals(storage)


def current_totals() -> Totals:
    """Return the numbers of the application that handles the current request."""
    return cast(Totals, current_app.extensions[EXTENSION])


def _sum(counted: object) -> int:
    """Return the number of bounces in a number, or in a mapping of numbers."""
    if isinstance(counted, Mapping):
        return sum(map(_sum, counted.values()))
    return cast(int, counted)
