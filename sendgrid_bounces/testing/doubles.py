"""The double: an account and a domain of one test alone, which share one list."""

import secrets
from contextlib import suppress
from datetime import datetime, timezone
from types import TracebackType

from sendgrid_bounces.config import PROFILES
from sendgrid_bounces.core.bounces import Bounce, BounceQuery
from sendgrid_bounces.core.clock import WallClock
from sendgrid_bounces.core.errors import (
    NameTakenError,
    ParametersError,
    UnknownNameError,
)
from sendgrid_bounces.records import read_record
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.testing.emulation import Emulation, Seed

#: A time: the text of one in UTC, an instant, or a datetime, which is in UTC if it
#: names no zone.
Time = str | int | datetime


class Double:
    """An account, and a Mailgun domain with the same list, that one test has alone.

    It is a context manager, and gone when that ends.

    :param url: where the emulator is.
    :param profile: which of the vendor's behaviours the account sees.
    :param seed: more accounts, for this test alone.
    :param username: of the account; made up if absent, and so are the other two.
    """

    def __init__(
        self,
        emulation: Emulation,
        url: str,
        *,
        profile: str | None = None,
        seed: Seed | None = None,
        username: str | None = None,
        api_key: str | None = None,
        domain: str | None = None,
    ) -> None:
        if profile not in (None, *PROFILES):
            raise ParametersError([("profile", f"must be {' or '.join(PROFILES)}")])
        self._emulation = emulation
        self._emulator = emulation.emulator
        self._accounts = self._emulator.storage.accounts
        #: The emulator's base URL, without a slash at its end.
        self.url = url
        made_up = f"test-{secrets.token_hex(4)}"
        #: ``api_user`` of SendGrid's calls.
        self.username = username or made_up
        #: ``api_key`` of SendGrid's calls, and the password of Mailgun's.
        self.api_key, sealed = emulation.sealed_key
        if api_key is not None:
            self.api_key, sealed = api_key, self._emulator.credentials.sealed(api_key)
        #: The Mailgun domain.
        self.domain = (domain or f"{made_up}.example.com").lower()
        self._names: list[str] = []

        def make() -> None:
            account = self._accounts.add(self.username, profile=profile, **sealed)
            self._accounts.add_domain(self.domain, account, shares_list=True)
            self._bounce_list = account.bounce_list
            self._names = [self.username]
            if seed is not None:
                self._names += self._plant(seed)

        self._emulator.storage.engine.atomically(make)

    def add(
        self,
        email: str,
        *,
        status: str | None = None,
        reason: str | None = None,
        code: str | int | None = None,
        created: Time | None = None,
    ) -> Bounce:
        """Put a bounce on the list, in place of one of this address, and return it.

        :param status: enhanced status code, as ``5.1.1``.
        :param code: SMTP reply code, as ``550``; derived if only *status* is given.
        :param created: when it happened; now, if absent.
        :raises ParametersError: naming each argument that is wrong.
        """
        facts = {"status": status, "code": code, "reason": reason}
        record = {name: fact for name, fact in facts.items() if fact is not None}
        now = self._emulator.clock.now()
        if isinstance(created, str):
            record["created"] = created
        elif created is not None:
            now = _instant(created)
        bounce = read_record({"email": email, **record}, WallClock(), now)
        self._emulator.storage.bounces.put(self._bounce_list, [bounce])
        return bounce

    def bounces(self) -> list[Bounce]:
        """Return the bounces on the list, oldest first."""
        batches = self._emulator.storage.bounces.find(self._bounce_list, BounceQuery())
        return [as_bounce(row) for rows in batches for row in rows]

    def close(self) -> None:
        """Remove what is of this test, and raise what went wrong in the emulator."""
        for name in self._names:
            with suppress(UnknownNameError):
                self._accounts.remove(name)
        self._names = []
        self._emulation.check()

    def __enter__(self) -> "Double":
        """Return this."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _plant(self, seed: Seed) -> list[str]:
        """Store *seed*, whose accounts must all be new: they are removed again."""
        before = {account.username for account in self._accounts.all()}
        names = self._emulation.plant(seed)
        for name in names:
            if name in before:
                raise NameTakenError(
                    f"the seed of this test has an account {name!r}, which is there "
                    "already"
                )
        return names


def _instant(time: int | datetime) -> int:
    if isinstance(time, datetime):
        if time.tzinfo is None:
            time = time.replace(tzinfo=timezone.utc)
        return int(time.timestamp())
    return time
