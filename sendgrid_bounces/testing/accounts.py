"""The double: an account and a domain of one test alone, which share one list."""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

from sendgrid_bounces.core.accounts import PROFILES
from sendgrid_bounces.core.bounces import Bounce, BounceQuery
from sendgrid_bounces.core.clock import parse_duration, wall_clock
from sendgrid_bounces.core.errors import (
    NameTakenError,
    ParametersError,
    UnknownNameError,
)
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.schemas.bounces import read_record
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.testing.app import Seed, TestApp

#: A time: the text of one, seconds since 1970, or a datetime; text and datetimes are in
#: UTC if they name no zone. Fractions of a second are cut off.
Time = str | float | datetime


#: How a double can be asked for.
OPTIONS = ("profile", "seed", "username", "api_key", "domain")


class TestAccount:
    """An account, and a Mailgun domain with the same list, that one test has alone.

    It is a context manager, and gone when that ends.

    :param url: where the emulator is.
    :param profile: which of the vendor's behaviours the account sees.
    :param seed: more accounts, for this test alone.
    :param username: of the account; made up if absent, and so are the other two.
    """

    #: Pytest must not collect this class.
    __test__ = False

    def __init__(
        self,
        test_app: TestApp,
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
        self._emulation = test_app
        self._emulator = test_app.emulator
        self._accounts = self._emulator.storage.accounts
        #: The emulator's base URL, without a slash at its end.
        self.url = url
        #: What the control endpoints do, and more: faults, journal, snapshots.
        self.control = test_app.control
        made_up = f"test-{secrets.token_hex(4)}"
        #: ``api_user`` of SendGrid's calls.
        self.username = username or made_up
        #: ``api_key`` of SendGrid's calls, and the password of Mailgun's.
        self.api_key, hashed = test_app.hashed_key
        if api_key is not None:
            self.api_key, hashed = api_key, self._emulator.authenticator.hashed(api_key)
        #: The Mailgun domain.
        self.domain = (domain or f"{made_up}.example.com").lower()
        self._names: list[str] = []
        self._rules: list[int] = []
        self._is_open = True
        self._has_moved_clock = False

        def make() -> None:
            account = self._accounts.add(self.username, profile=profile, **hashed)
            if username:  # it may have been another test's before
                self._emulator.storage.requests.forget(username)
            self._accounts.add_domain(self.domain, account, shares_list=True)
            self._names = [self.username]
            if seed is not None:
                self._names += self._load_seed(seed)

        test_app.enter()
        try:
            self._emulator.storage.engine.transact(make)
        except BaseException:
            test_app.leave()
            raise

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
        now = (
            self._emulator.clock.now()
            if created is None
            else _instant(created, "created")
        )
        bounce = read_record({"email": email, **record}, wall_clock("UTC"), now)
        self._emulator.storage.bounces.put(self._bounce_list(), [bounce])
        return bounce

    def bounces(self) -> list[Bounce]:
        """Return the bounces on the list, oldest first."""
        bounce_list = self._bounce_list()
        batches = self._emulator.storage.bounces.find(bounce_list, BounceQuery())
        return [as_bounce(row) for rows in batches for row in rows]

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests to the account and its domain, oldest first, keys masked."""
        limit = self._emulator.request_log_size
        return self.control.requests(limit, account=self.username)

    def fail_next(self, status: int | None = None, times: int = 1, **rule: Any) -> int:
        """Let the next requests to the account or its domain fail.

        :param status: what is answered, 400 to 599, in the vendor's words.
        :param rule: more of a fault rule: which requests it is about (dialect,
            operation, email, method, path, skip; another account), and what happens
            (retry_after, latency_ms, drop_connection, truncate, malformed).
        :returns: the rule's identifier.
        :raises ParametersError: naming each field that is wrong.
        """
        wanted = {"account": self.username, "status": status, "times": times, **rule}
        if rule.keys() & {"limit", "probability"} and times == 1:
            del wanted["times"]  # they say themselves how often
        given = {name: value for name, value in wanted.items() if value is not None}
        id_ = self.control.add_fault(given)
        self._rules.append(id_)
        return id_

    def freeze(self, instant: Time | None = None) -> int:
        """Let the emulator's clock stand, and return the instant that it shows.

        All doubles of one server share its clock.
        """
        self._has_moved_clock = True
        return self.control.freeze(
            None if instant is None else _instant(instant, "instant")
        ).now

    def advance(self, seconds: float | timedelta | str) -> int:
        """Put the emulator's clock forward, and return the instant that it shows.

        :param seconds: fractions are cut off; text is an ISO 8601 duration, as PT1H.
        :raises ParametersError: if it is the text of none, or leads too far.
        """
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if isinstance(seconds, str):
            seconds = parse_duration(seconds)
        self._has_moved_clock = True
        return self.control.advance(_whole(seconds, "seconds")).now

    def close(self) -> None:
        """Remove what is of this test, and raise what went wrong in the emulator.

        Its faults are no more, and the clock shows the time.
        """
        if not self._is_open or self._emulation.is_closed:
            return
        self._is_open = False
        try:
            self._remove()
        finally:
            self._emulation.leave()
        self._emulation.check()

    def __enter__(self) -> "TestAccount":
        """Return this."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _bounce_list(self) -> int:
        """Return the list of today: a restored snapshot has given the account another.

        :raises UnknownNameError: if a reset has removed the account.
        """
        return self._accounts.get(self.username).bounce_list

    def _remove(self) -> None:
        for name in self._names:
            with suppress(UnknownNameError):
                self._accounts.remove(name)
        for rule in self._rules:
            with suppress(UnknownNameError):
                self.control.remove_fault(rule)
        if self._has_moved_clock:
            self.control.reset_clock()

    def _load_seed(self, seed: Seed) -> list[str]:
        """Store *seed*, whose accounts must all be new: they are removed again.

        :returns: their names.
        """
        before = {account.username for account in self._accounts.all()}
        rules = {fault.id for fault in self.control.faults()}
        names = self._emulation.apply(seed)
        self._rules = [f.id for f in self.control.faults() if f.id not in rules]
        for name in names:
            if name in before:
                raise NameTakenError(
                    f"the seed of this test has an account {name!r}, which is there "
                    "already"
                )
        return names


def check_options(options: Iterable[str], what: str) -> None:
    """Check that a double takes *options*, which *what* was given.

    :raises TypeError: if it does not.
    """
    if wrong := [name for name in options if name not in OPTIONS]:
        raise TypeError(f"{what} takes {', '.join(OPTIONS)}, and not {wrong[0]}")


def _whole(seconds: float, name: str) -> int:
    try:
        return int(seconds)
    except (ValueError, OverflowError):
        raise ParametersError([(name, "must be a number of seconds")]) from None


def _instant(time: Time, name: str) -> int:
    """Return the instant of *time*.

    :param name: what the argument is called.
    :raises ParametersError: if it is the text of none.
    """
    if isinstance(time, datetime):
        if time.tzinfo is None:
            time = time.replace(tzinfo=timezone.utc)
        return int(time.timestamp())
    if isinstance(time, int | float):
        return _whole(time, name)
    try:
        return wall_clock("UTC").parse(time)
    except ValueError as error:
        raise ParametersError([(name, str(error))]) from None
