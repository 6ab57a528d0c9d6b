"""What happens around every request of a dialect: fault rules, and the journal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from flask import Flask, Response, current_app, g

from sendgrid_bounces.control.effects import Dropped, answer_instead, spoil
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.faults import Match, StoredFault
from sendgrid_bounces.core.requests import LoggedRequest, RequestInfo
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.redaction import Redactor, is_secret
from sendgrid_bounces.web.dialect import Dialect, find_owner
from sendgrid_bounces.web.requests import request
from sendgrid_bounces.web.responses import log_failure


def register(app: Flask, dialects: Sequence[Dialect]) -> None:
    """Let fault rules meet the requests of *app*, and its journal keep them."""

    def before() -> Response | None:
        dialect = find_owner(dialects, request.path)
        if dialect is None:
            return None
        info = dialect.read_request_info()

        def render(status: int) -> Response:
            return dialect.render_error(status, request.path, info.account)

        try:
            g.match = _match(info)
            response = g.match and answer_instead(g.match, render)
        except StorageError as error:  # which the journal would wait for, too
            log_failure(error)
            return dialect.render_error(503, request.path)
        g.info = info
        return response

    app.before_request(before)
    redactor = Redactor(dialect.key_pattern for dialect in dialects)
    app.after_request(partial(_after, redactor))


def _match(info: RequestInfo) -> Match | None:
    """Return the rule that fires at *info*, after it has been counted."""
    emulator = current_emulator()
    store = emulator.storage.faults
    faults = [*_that_match(store.all(), info)]
    return store.trigger(faults, emulator.clock.now()) if faults else None


def _that_match(
    faults: Iterable[StoredFault], info: RequestInfo
) -> Iterator[StoredFault]:
    is_owned = False
    for fault in faults:
        if fault.rule.is_spent(fault.matched):
            continue
        if fault.rule.account is not None and not is_owned:
            info, is_owned = _owned(info), True
        if fault.rule.matches(info):
            yield fault


def _owned(info: RequestInfo) -> RequestInfo:
    """Return *info* with the account of its domain, unless it names an account."""
    if info.account is not None or info.domain is None:
        return info
    found = current_emulator().storage.accounts.find_domain(info.domain)
    return replace(info, account=found.account.username if found else None)


def _after(redactor: Redactor, response: Response) -> Response:
    """Do to the answer what a rule says, and put the request into the journal."""
    info: RequestInfo | None = g.get("info")
    if info is None:
        return response
    rows_changed = getattr(response, "rows_changed", None)
    match: Match | None = g.get("match")
    if match is not None:
        response = spoil(match.rule, response)
    emulator = current_emulator()
    if emulator.config.journal_size:
        try:
            now = emulator.clock.now()
            entry = _entry(redactor, info, response, rows_changed, now)
            emulator.storage.requests.add(entry, emulator.config.journal_size)
        except StorageError as error:  # the call is answered nevertheless
            current_app.logger.warning("a request is not in the journal: %s", error)
    return response


def _entry(
    redactor: Redactor,
    info: RequestInfo,
    response: Response,
    rows_changed: int | None,
    now: int,
) -> LoggedRequest:
    match = g.get("match")
    info = _owned(info)
    pairs = request.peek_parameters()
    redactor = redactor.with_secrets(_secrets(pairs))
    return LoggedRequest(
        time=now,
        dialect=info.dialect,
        operation=info.operation,
        account=info.account and redactor.redact(info.account),
        domain=info.domain and redactor.redact(info.domain),
        method=redactor.redact(info.method),
        path=redactor.redact(info.path),
        parameters=redactor.redact_parameters(pairs),
        status=None if isinstance(response, Dropped) else response.status_code,
        rows=rows_changed,
        fault=match and match.id,
    )


def _secrets(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the credentials of the current request."""
    sent = request.authorization
    if sent is not None:
        yield sent.token or ""
        yield sent.password or sent.username or ""
    yield from (value for name, value in pairs if is_secret(name))
