"""What happens around every request of a dialect: fault rules, and the journal."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from flask import Flask, Response, current_app, g, request

from sendgrid_bounces.control.effects import Dropped, answer_instead, spoil
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.faults import Facts, Match, Subject
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.redaction import Redactor, is_secret
from sendgrid_bounces.storage.faults import StoredFault
from sendgrid_bounces.web.requests import peek_pairs, read_authorization
from sendgrid_bounces.web.responses import ErrorRenderer, log_failure


class Speaker(Protocol):
    """What is asked of a dialect here."""

    @property
    def name(self) -> str:
        """How rules and the journal name it."""

    @property
    def owns(self) -> Callable[[str], bool]:
        """Whether a path is its."""

    @property
    def render(self) -> ErrorRenderer:
        """Its words for an error."""

    @property
    def facts(self) -> Callable[[], Facts]:
        """What the request is about."""


def register(app: Flask, dialects: Sequence[Speaker]) -> None:
    """Let fault rules meet the requests of *app*, and its journal keep them."""

    def before() -> Response | None:
        dialect = next((d for d in dialects if d.owns(request.path)), None)
        if dialect is None:
            return None
        facts = dialect.facts()
        subject = Subject(dialect.name, request.method, request.path, facts)

        def render(status: int) -> Response:
            return dialect.render(status, request.path, facts.account)

        try:
            g.match = _match(subject)
            response = g.match and answer_instead(g.match, render)
        except StorageError as error:  # which the journal would wait for, too
            log_failure(error)
            return dialect.render(503, request.path)
        g.subject = subject
        return response

    app.before_request(before)
    app.after_request(_after)


def _match(subject: Subject) -> Match | None:
    """Return the rule that fires at *subject*, after it has been counted."""
    emulator = current_emulator()
    store = emulator.storage.faults
    faults = [*_that_match(store.all(), subject)]
    return store.take(faults, emulator.clock.now()) if faults else None


def _that_match(
    faults: Iterable[StoredFault], subject: Subject
) -> Iterator[StoredFault]:
    is_owned = False
    for fault in faults:
        if fault.rule.is_spent(fault.matched):
            continue
        if fault.rule.account is not None and not is_owned:
            subject, is_owned = _owned(subject), True
        if fault.rule.matches(subject):
            yield fault


def _owned(subject: Subject) -> Subject:
    """Return *subject* with an account: that of the domain, if it names no other."""
    facts = subject.facts
    if facts.account is not None or facts.domain is None:
        return subject
    found = current_emulator().storage.accounts.find_domain(facts.domain)
    account = found.account.username if found else None
    return replace(subject, facts=replace(facts, account=account))


def _after(response: Response) -> Response:
    """Do to the answer what a rule says, and put the request into the journal."""
    subject: Subject | None = g.get("subject")
    if subject is None:
        return response
    match: Match | None = g.get("match")
    if match is not None:
        response = spoil(match.rule, response)
    emulator = current_emulator()
    if emulator.request_log_size:
        try:
            entry = _entry(subject, response, emulator.clock.now())
            emulator.storage.requests.add(entry, emulator.request_log_size)
        except StorageError as error:  # the call is answered nevertheless
            current_app.logger.warning("a request is not in the journal: %s", error)
    return response


def _entry(subject: Subject, response: Response, now: int) -> LoggedRequest:
    match = g.get("match")
    facts = _owned(subject).facts
    pairs = peek_pairs()
    mask = Redactor(_secrets(pairs))
    return LoggedRequest(
        time=now,
        dialect=subject.dialect,
        operation=facts.operation,
        account=facts.account and mask.text(facts.account),
        domain=facts.domain and mask.text(facts.domain),
        method=mask.text(subject.method),
        path=mask.text(subject.path),
        parameters=mask.parameters(pairs),
        status=None if isinstance(response, Dropped) else response.status_code,
        rows=g.get("rows"),
        fault=match and match.id,
    )


def _secrets(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the credentials that the request has, wherever it has them."""
    yield from (value for name, value in pairs if is_secret(name))
    sent = read_authorization()
    if sent is not None:
        yield sent.token or ""
        yield sent.password or sent.username or ""
