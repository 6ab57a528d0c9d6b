"""The account, Mailgun domain and bounce list of one test."""

import json
import secrets
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

from sendgrid_bounces.core.bounces import Bounce, BounceQuery
from sendgrid_bounces.core.errors import (
    NameTakenError,
    ParametersError,
    UnknownNameError,
)
from sendgrid_bounces.core.messages import got, pluralize, suggest
from sendgrid_bounces.core.profiles import parse_profile
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.core.times import (
    Time,
    check_instant,
    parse_duration,
    parse_instant,
    parse_record_time,
)
from sendgrid_bounces.core.timezones import time_zone
from sendgrid_bounces.schemas.bounces import describe_doubts, read_record
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.testing.app import Seed, TestApp
from sendgrid_bounces.testing.assertions import (
    check_conditions,
    describe_all,
    explain,
    matches,
)
from sendgrid_bounces.testing.errors import report_arguments

UTC = time_zone("UTC")

#: Seconds between two queries of the request log.
POLL_INTERVAL = 0.02

#: The body of a webhook, or a mail. Mappings and lists become JSON.
Payload = str | bytes | EmailMessage | Mapping[str, Any] | list[Any]

#: The options of a test account.
OPTIONS = ("profile", "seed", "username", "api_key", "domain", "unused_faults")

#: The treatment of faults that never triggered.
UNUSED_FAULTS = ("error", "ignore")


class TestAccount:
    """An account and a Mailgun domain of one test, which share one bounce list.

    Closing it, or leaving its ``with`` block, removes both.

    :param url: the base URL of the emulator.
    :param profile: the vendor behaviour that the account sees.
    :param seed: more accounts; they are removed with this one.
    :param username: generated if absent, like *api_key* and *domain*.
    :param unused_faults: ``error`` if a fault of :meth:`fail_next` that never triggered
        fails the test, ``ignore`` if not.
    """

    #: Pytest must not collect this class.
    __test__ = False

    @report_arguments
    def __init__(
        self,
        test_app: TestApp,
        url: str,
        *,
        profile: str | Mapping[str, str] | None = None,
        seed: Seed | None = None,
        username: str | None = None,
        api_key: str | None = None,
        domain: str | None = None,
        unused_faults: str = "error",
    ) -> None:
        if unused_faults not in UNUSED_FAULTS:
            problem = f"must be {' or '.join(UNUSED_FAULTS)}"
            raise ParametersError([("unused_faults", problem)])
        if profile is not None:
            profile = parse_profile(profile)
        self._test_app = test_app
        self._emulator = test_app.emulator
        self._accounts = self._emulator.storage.accounts
        #: The base URL of the emulator, without a trailing slash.
        self.url = url
        #: All control operations: faults, request log, clock, reset and snapshots.
        self.control = test_app.control
        generated = f"test-{secrets.token_hex(4)}"
        #: The ``api_user`` of SendGrid requests.
        self.username = username or generated
        #: The ``api_key`` of SendGrid v2, the Bearer key of v3, and the password of
        #: Mailgun requests. A generated key belongs to this account only.
        self.api_key = _generate_key() if api_key is None else api_key
        hashed = self._emulator.authenticator.hash_key(self.api_key)
        #: The Mailgun domain.
        self.domain = (domain or f"{generated}.example.com").lower()
        self._names: list[str] = []
        self._faults: list[int] = []
        self._ignores_unused = unused_faults == "ignore"
        self._injected: list[int] = []
        self._is_open = True
        self._has_set_clock = False

        def create() -> None:
            account = self._accounts.add(self.username, profile=profile, **hashed)
            self._accounts.add_domain(self.domain, account, shares_list=True)
            self._names = [self.username]
            if seed is not None:
                self._names += self._load_seed(seed)

        test_app.acquire()
        try:
            self._accounts.transact(create)
            if username:  # an earlier test may have used the same name
                self._emulator.storage.requests.remove_owned(account=username)
        except BaseException:
            test_app.release()
            raise

    @report_arguments
    def add(
        self,
        email: str,
        *,
        status: str | None = None,
        reason: str | None = None,
        code: str | int | None = None,
        created: Time | None = None,
        strict: bool = False,
    ) -> Bounce:
        """Add a bounce, or replace the one of the same address, and return it.

        An implausible address, status or code causes a :class:`UserWarning`.

        :param status: enhanced status code, such as ``5.1.1``.
        :param code: SMTP reply code, such as ``550``; derived from *status* if absent.
        :param created: the current time of the emulator's clock if absent.
        :param strict: whether implausible arguments are invalid.
        :raises ParametersError: naming each invalid argument.
        """
        fields = {"status": status, "code": code, "reason": reason}
        record = {name: value for name, value in fields.items() if value is not None}
        bounce = read_record({"email": email, **record}, UTC, self._created(created))
        doubts = describe_doubts(bounce)
        if doubts and strict:
            raise ParametersError(doubts)
        for name, text in doubts:
            warnings.warn(f"{name}: {text}", stacklevel=3)
        self._emulator.storage.bounces.put(self._bounce_list(), [bounce])
        return bounce

    def _created(self, created: Time | None) -> int:
        """Return the instant of *created*, or the clock's if it means "no date"."""
        try:
            instant = parse_record_time(created, UTC)
        except ValueError as error:
            problem = f"{error}{got(created)}"
            raise ParametersError([("created", problem)]) from None
        now = self._emulator.clock.now()
        return now if instant is None else check_instant(instant, "created")

    @report_arguments
    def deliver(self, kind: str, payload: Payload) -> list[Bounce]:
        """Deliver the body of a webhook or a bounce mail, and return the new bounces.

        Nothing is verified. Repeats, deletions and older events have the effect that
        they have at an endpoint of a source.

        :param kind: ``sendgrid``, ``mailgun``, ``ses``, ``postmark`` or ``mail``.
        :param payload: text, bytes, a mail, or data for JSON.
        :raises ParametersError: if *kind* or *payload* is invalid.
        """
        from sendgrid_bounces.testing.deliveries import deliver

        return deliver(self._emulator, self.username, kind, payload)

    def bounces(self) -> list[Bounce]:
        """Return the bounces of the account, oldest first."""
        bounce_list = self._bounce_list()
        batches = self._emulator.storage.bounces.find(bounce_list, BounceQuery())
        return [as_bounce(row) for rows in batches for row in rows]

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests to the account and its domain, oldest first, keys redacted."""
        limit = self._emulator.config.journal_size
        return self.control.requests(limit, account=self.username)

    @property
    def last_request(self) -> LoggedRequest | None:
        """The latest request to the account or its domain; None before the first."""
        found = self.control.requests(1, account=self.username)
        return found[0] if found else None

    @report_arguments
    def assert_called(self, *, times: int | None = None, **conditions: Any) -> None:
        """Assert that a request matches *conditions*.

        :param times: the exact number of matching requests; at least one if absent.
        :param conditions: fields of a logged request, such as ``operation="delete"``,
            ``status=200`` or ``dialect="mailgun"``, and ``email``, an address in the
            parameters or the path.
        :raises AssertionError: listing the requests and the conditions they miss.
        """
        __tracebackhide__ = True
        check_conditions(conditions, self._emulator.operations)
        requests = self.requests
        count = sum(matches(request, conditions) for request in requests)
        if count == times or (times is None and count):
            return
        wanted = "at least once" if times is None else pluralize(times, "time")
        raise AssertionError(
            f"expected a request with {_render(conditions)} {wanted}, "
            f"got {count} of {len(requests)}:\n{explain(requests, conditions)}"
        )

    @report_arguments
    def assert_not_called(self, **conditions: Any) -> None:
        """Assert that no request matches *conditions*, as in :meth:`assert_called`.

        :raises AssertionError: listing the requests that match.
        """
        __tracebackhide__ = True
        check_conditions(conditions, self._emulator.operations)
        found = [request for request in self.requests if matches(request, conditions)]
        if found:
            raise AssertionError(
                f"expected no request with {_render(conditions)}, got {len(found)}:\n"
                f"{describe_all(found)}"
            )

    @report_arguments
    def wait_for(
        self, *, count: int = 1, timeout: float = 5, **conditions: Any
    ) -> list[LoggedRequest]:
        """Wait until *count* requests match *conditions*, and return them.

        :param timeout: in seconds.
        :param conditions: conditions as in :meth:`assert_called`.
        :raises AssertionError: after *timeout*, listing the requests.
        """
        __tracebackhide__ = True
        check_conditions(conditions, self._emulator.operations)
        deadline = time.monotonic() + timeout
        while True:
            requests = self.requests
            found = [request for request in requests if matches(request, conditions)]
            if len(found) >= count:
                return found
            if not time.monotonic() < deadline:  # also if it is not a number
                raise AssertionError(
                    f"expected {pluralize(count, 'request')} with "
                    f"{_render(conditions)} within "
                    f"{timeout} s, got {len(found)}:\n{explain(requests, conditions)}"
                )
            time.sleep(POLL_INTERVAL)

    def check_faults(self) -> None:
        """Check that each fault of :meth:`fail_next` has triggered.

        A fault with a probability or a limit only has to match a request.

        :raises AssertionError: naming the faults that did not.
        """
        __tracebackhide__ = True
        if self._ignores_unused:
            return
        unused = [
            fault
            for fault in self.control.faults()
            if fault.id in self._injected
            and not (
                fault.matched
                if fault.rule.probability is not None or fault.rule.limit is not None
                else fault.triggered
            )
        ]
        self._injected.clear()  # report each fault once
        if unused:
            rules = "\n".join(f"  {json.dumps(f.rule.as_dict())}" for f in unused)
            raise AssertionError(
                f"a fault never triggered (set unused_faults='ignore' to allow this):\n"
                f"{rules}\nrequests:\n{describe_all(self.requests)}"
            )

    @report_arguments
    def fail_next(self, status: int | None = None, times: int = 1, **rule: Any) -> int:
        """Inject a fault into the next requests to the account or its domain.

        :param status: the status of an error response in the vendor's format, 400 to
            599.
        :param rule: more fields of a fault rule: conditions (dialect, operation, email,
            method, path, skip; or another account) and effects (retry_after,
            latency_ms, drop_connection, truncate, malformed).
        :returns: the identifier of the fault rule.
        :raises ParametersError: naming each invalid field.
        """
        wanted = {"account": self.username, "status": status, "times": times, **rule}
        if rule.keys() & {"limit", "probability"} and times == 1:
            del wanted["times"]  # these fields decide how often the rule triggers
        given = {name: value for name, value in wanted.items() if value is not None}
        id_ = self.control.add_fault(given)
        self._faults.append(id_)
        self._injected.append(id_)
        return id_

    @report_arguments
    def freeze(self, instant: Time | None = None) -> int:
        """Freeze the emulator's clock, and return its time in seconds since 1970.

        All test accounts of a server share its clock.

        :param instant: the current time of the clock if absent.
        """
        self._has_set_clock = True
        return self.control.freeze(
            None if instant is None else parse_instant(instant)
        ).now

    @report_arguments
    def advance(self, seconds: float | timedelta | str) -> int:
        """Advance the emulator's clock, and return its time in seconds since 1970.

        :param seconds: fractions are discarded; text is a duration such as ``PT1H``
            or ``1h30m``.
        :raises ParametersError: if *seconds* is invalid, or the result out of range.
        """
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if isinstance(seconds, str):
            seconds = parse_duration(seconds)
        self._has_set_clock = True
        return self.control.advance(_whole_seconds(seconds, "seconds")).now

    @property
    def is_closed(self) -> bool:
        """Whether the test account or its server is closed."""
        return not self._is_open or self._test_app.is_closed

    def close(self) -> None:
        """Remove the account, its domain, seed and faults, and reset the clock.

        A forked process changes nothing.

        :raises Exception: if an unexpected exception occurred in the emulator.
        """
        if self.is_closed or self._test_app.is_inherited:
            return
        self._is_open = False
        try:
            self._remove()
        finally:
            self._test_app.release()
        self._test_app.check()

    def __enter__(self) -> "TestAccount":
        """Return the test account itself."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Close the test account.

        :raises AssertionError: if a fault never triggered and the block succeeded.
        """
        try:
            if kind is None and not self.is_closed:
                self.check_faults()
        finally:
            self.close()

    def __repr__(self) -> str:
        """Return the account, its URL and its numbers of bounces and requests."""
        if self.is_closed:
            return f"<TestAccount {self.username!r}, closed>"
        try:
            bounces = self._emulator.storage.bounces.count(
                self._bounce_list(), BounceQuery()
            )
        except UnknownNameError:
            return f"<TestAccount {self.username!r}, removed by a reset>"
        requests = self.control.count_requests(account=self.username)
        return (
            f"<TestAccount {self.username!r} at {self.url}: "
            f"{pluralize(bounces, 'bounce')}, {pluralize(requests, 'request')}>"
        )

    def _bounce_list(self) -> int:
        """Return the current list of the account; restoring a snapshot replaces it.

        :raises UnknownNameError: if a reset has removed the account.
        """
        return self._accounts.get(self.username).bounce_list

    def _remove(self) -> None:
        def remove() -> None:
            for name in self._names:
                with suppress(UnknownNameError):
                    self._accounts.remove(name)

        self._accounts.transact(remove)
        for id_ in self._faults:
            with suppress(UnknownNameError):
                self.control.remove_fault(id_)
        if self._has_set_clock:
            self.control.reset_clock()

    def _load_seed(self, seed: Seed) -> list[str]:
        """Load *seed* and return the names of its accounts.

        :raises NameTakenError: if an account exists already; closing would remove it.
        """
        existing = {account.username for account in self._accounts.all()}
        faults = {fault.id for fault in self.control.faults()}
        names = self._test_app.load_seed(seed)
        self._faults = [f.id for f in self.control.faults() if f.id not in faults]
        for name in names:
            if name in existing:
                raise NameTakenError(
                    f"the seed of the test account contains the account {name!r}, "
                    "which already exists"
                )
        return names


def check_options(options: Iterable[str], receiver: str) -> None:
    """Check that *options*, the names of keyword arguments, are known.

    :param receiver: the name of the callable, for the message.
    :raises TypeError: if one is unknown.
    """
    __tracebackhide__ = True
    for name in options:
        if name not in OPTIONS:
            hint = suggest(name, OPTIONS, "valid arguments")
            raise TypeError(f"{receiver} got an unexpected argument {name!r} ({hint})")


def _render(conditions: Mapping[str, Any]) -> str:
    """Return *conditions* as they are written in a call."""
    return ", ".join(f"{k}={v!r}" for k, v in conditions.items()) or "any fields"


def _generate_key() -> str:
    """Return a key in the form of SendGrid's, which its SDKs check."""
    return f"SG.{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(32)}"


def _whole_seconds(seconds: float, name: str) -> int:
    try:
        return int(seconds)
    except (ValueError, OverflowError):
        problem = f"must be a finite number of seconds (got {seconds})"
        raise ParametersError([(name, problem)]) from None
