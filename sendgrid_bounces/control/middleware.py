"""Fault rules and the request log, around every request of a dialect."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from flask import Flask, Response, current_app, g

from sendgrid_bounces.control import PREFIX
from sendgrid_bounces.control.effects import Dropped, alter_response, replace_response
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.faults import Match, StoredFault
from sendgrid_bounces.core.requests import LoggedRequest, RequestInfo
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.redaction import Redactor, find_secrets
from sendgrid_bounces.web.dialect import find_owner
from sendgrid_bounces.web.requests import request
from sendgrid_bounces.web.responses import log_failure

#: Statuses of a wrong key. They are rendered in the profile of the server, so that a
#: response does not reveal which accounts exist.
REFUSALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def register(app: Flask, emulator: Emulator) -> None:
    """Apply fault rules to the requests of all dialects, and log these requests."""
    redactor = Redactor(dialect.key_pattern for dialect in emulator.dialects)

    def before() -> Response | None:
        path = request.path
        if path.startswith(f"{PREFIX}/"):
            return None
        dialect = find_owner(emulator.dialects, path)
        if dialect is None:
            return None
        info = dialect.read_request_info()

        def render(status: int) -> Response:
            account = None if status in REFUSALS else info.account
            return dialect.render_error(status, path, account)

        try:
            faults, clock = emulator.storage.faults.all_with_clock()
            g.now = clock.now(emulator.clock.system.now())
            g.match = _match(emulator, faults, info) if faults else None
            response = g.match and replace_response(
                g.match, render, sends_retry_after=dialect.sends_retry_after
            )
        except StorageError as error:  # the request log would fail, too
            log_failure(error)
            return dialect.render_error(503, path)
        g.info = info
        return response

    app.before_request(before)
    app.after_request(partial(_after, emulator, redactor))


def _after(emulator: Emulator, redactor: Redactor, response: Response) -> Response:
    """Apply the triggered rule to the response, and log the request."""
    info: RequestInfo | None = g.get("info")
    if info is None:
        return response
    rows_changed = getattr(response, "rows_changed", None)
    match: Match | None = g.match
    if match is not None:
        response = alter_response(match.rule, response)
    if emulator.config.journal_size:
        try:
            info = _with_owner(emulator, info)
            entry = _entry(redactor, info, match, response, rows_changed)
            emulator.storage.requests.add(entry, emulator.config.journal_size)
        except StorageError as error:  # the request itself has succeeded
            current_app.logger.warning("request not logged: %s", error)
    return response


def _match(
    emulator: Emulator, faults: Iterable[StoredFault], info: RequestInfo
) -> Match | None:
    """Count the request for the rules that match, and return the one that triggers."""
    matching = [*_matching(emulator, faults, info)]
    return emulator.storage.faults.trigger(matching, g.now) if matching else None


def _matching(
    emulator: Emulator, faults: Iterable[StoredFault], info: RequestInfo
) -> Iterator[StoredFault]:
    has_owner = False
    for fault in faults:
        if fault.rule.is_spent(fault.matched):
            continue
        if fault.rule.account is not None and not has_owner:
            info, has_owner = _with_owner(emulator, info), True
        if fault.rule.matches(info):
            yield fault


def _with_owner(emulator: Emulator, info: RequestInfo) -> RequestInfo:
    """Return *info* with the account that owns the domain, if it has no account."""
    if info.account is not None or info.domain is None:
        return info
    found = emulator.storage.accounts.find_domain(info.domain)
    return replace(info, account=found.account.username if found else None)


def _entry(
    redactor: Redactor,
    info: RequestInfo,
    match: Match | None,
    response: Response,
    rows_changed: int | None,
) -> LoggedRequest:
    pairs = request.peek_parameters()
    redactor = redactor.with_secrets([*_header_secrets(), *find_secrets(pairs)])
    return LoggedRequest(
        time=g.now,
        dialect=info.dialect,
        operation=info.operation,
        account=info.account and redactor.redact(info.account),
        domain=info.domain and redactor.redact(info.domain),
        method=redactor.redact(info.method),
        path=redactor.redact(info.path),
        parameters=redactor.redact_parameters(pairs),
        status=None if isinstance(response, Dropped) else response.status_code,
        rows=rows_changed,
        fault=None if match is None else match.id,
    )


def _header_secrets() -> tuple[str, ...]:
    """Return the credentials in the Authorization header."""
    sent = request.authorization
    if sent is None:
        return ()
    return sent.token or "", sent.password or sent.username or ""
