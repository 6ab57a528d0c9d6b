"""Limits on wrong keys and tokens, and on the threads that verify keys."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

from sendgrid_bounces.core.errors import TooManyAttemptsError

#: Different wrong keys that a client may send for a name in ``WINDOW`` seconds.
MAX_ATTEMPTS, WINDOW = 20, 60

#: Different wrong control tokens that a client may send in ``WINDOW`` seconds. Many
#: jobs of a CI system can have one address.
MAX_TOKENS = 100

#: Wrong keys of a client, for any names, after which its keys never wait.
SUSPICIOUS = 5

#: Seconds for which a wrong key is known to be wrong.
CACHE_SECONDS = 10

#: The address of a client without one, such as that of a test.
UNKNOWN = "unknown"

#: The key of a client's total among the counts by name. No digest is empty.
ANY_NAME = b""

#: Entries that are kept, of each kind; all are dropped when there are more.
MAX_ENTRIES = 10_000


@lru_cache(maxsize=1_024)
def client_at(address: str) -> str:
    """Return the client that a network address belongs to.

    One client has many IPv6 addresses: all with the same first 64 bits. All clients of
    a Unix socket are one: they have no address.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return UNKNOWN
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))


class FailedAttempts:
    """The recent attempts with wrong keys, in one process.

    A client is named as :func:`client_at` does; names and keys are hashed.

    :param most: different wrong keys of a client for a name in ``WINDOW`` seconds.
    """

    def __init__(self, most: int = MAX_ATTEMPTS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: dict[bytes, float] = {}
        self._added: dict[bytes, int] = {}
        #: Since when and how often a client has failed for a name.
        self.counts: dict[tuple[str, bytes], tuple[float, int]] = {}

    def is_known(self, attempt: bytes) -> bool:
        """Return whether *attempt*, a hash of name and key, has failed just now."""
        return self._known.get(attempt, 0) > time.monotonic()

    def is_suspect(self, client: str) -> bool:
        """Return whether *client* has sent several wrong keys."""
        return self._count(client, ANY_NAME) >= SUSPICIOUS

    def check(self, client: str, name: bytes) -> None:
        """Check that *client* may try another key for *name*.

        :raises TooManyAttemptsError: if the client has sent too many wrong keys.
        """
        if self._count(client, name) >= self._most:
            raise TooManyAttemptsError

    def add(self, client: str, name: bytes, attempt: bytes) -> None:
        """Add a failed attempt."""
        with self._lock:
            make_room(self._known, MAX_ENTRIES)
            self._known[attempt] = time.monotonic() + CACHE_SECONDS
            make_room(self._added, MAX_ENTRIES)
            self._added[attempt] = self._added.get(attempt, 0) + 1
            for key in (name, ANY_NAME):
                self._change(client, key, 1)

    def forgive(self, client: str, name: bytes, attempt: bytes) -> None:
        """Take back a failed attempt, as often as it was added."""
        with self._lock:
            if not self._added.get(attempt):
                return
            self._added[attempt] -= 1
            for key in (name, ANY_NAME):
                self._change(client, key, -1)

    def _count(self, client: str, name: bytes) -> int:
        began, count = self.counts.get((client, name), (0.0, 0))
        return count if began + WINDOW > time.monotonic() else 0

    def _change(self, client: str, name: bytes, difference: int) -> None:
        make_room(self.counts, MAX_ENTRIES)
        count = self._count(client, name)
        began = self.counts[client, name][0] if count else time.monotonic()
        self.counts[client, name] = began, max(count + difference, 0)


def make_room(entries: dict[Any, Any], most: int) -> None:
    """Clear *entries* when there are *most*, so that there are never more."""
    if len(entries) >= most:
        entries.clear()


class HashQueue:
    """The threads that compute slow hashes, one at a time.

    A key of a suspect client is refused while other keys are in the queue. Another
    client may have *most* keys there, and all clients *most_in_all*, so that threads
    remain for other requests. The client with the fewest keys is next, so that a new
    client waits for one hash of a flood of wrong keys.

    :param most: keys of a client in the queue; several threads may wait for one key.
    :param most_in_all: keys of all clients together; by default a quarter more than
        *most*, and at least one.
    """

    def __init__(self, most: int, most_in_all: int | None = None) -> None:
        self._most = most
        self._most_in_all = most_in_all or most + max(most // 4, 1)
        self._changed = threading.Condition()
        self._is_busy = False
        self._numbers = itertools.count()
        #: The threads that wait: keys that their client had already, and their number.
        self._tickets: list[tuple[int, int]] = []
        self._waiting: Counter[tuple[str, bytes]] = Counter()

    @contextmanager
    def turn(
        self, client: str = "", attempt: bytes = b"", *, is_suspect: bool = False
    ) -> Iterator[None]:
        """Wait for a turn; the block computes a hash.

        :param client: the client that sent the key; empty for work that must be done.
        :param attempt: identifies the key.
        :param is_suspect: whether the client has sent several wrong keys.
        :raises TooManyAttemptsError: if it is suspect, and another thread computes or
            waits; or if too many other keys of the client, or of all clients, wait.
        """
        entry = client, attempt
        with self._changed:
            keys = sum(1 for other in self._waiting if client and other[0] == client)
            is_full = keys >= self._most or len(self._waiting) >= self._most_in_all
            if is_suspect:
                is_refused = bool(self._waiting)
            else:
                is_refused = is_full and entry not in self._waiting
            if client and is_refused:
                raise TooManyAttemptsError
            self._waiting[entry] += 1
        try:
            self._wait((keys, next(self._numbers)))
            try:
                yield
            finally:
                self._is_busy = False
        finally:
            with self._changed:
                self._waiting[entry] -= 1
                if not self._waiting[entry]:
                    del self._waiting[entry]
                self._changed.notify_all()

    def _wait(self, ticket: tuple[int, int]) -> None:
        """Wait until no other thread computes a hash, and *ticket* is the lowest."""
        with self._changed:
            self._tickets.append(ticket)
            try:
                self._changed.wait_for(
                    lambda: not self._is_busy and min(self._tickets) == ticket
                )
                self._is_busy = True
            finally:
                self._tickets.remove(ticket)
