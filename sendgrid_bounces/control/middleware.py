"""Fault rules and the request log, around every request of a dialect."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from itertools import chain

from flask import Flask, Response, current_app

from sendgrid_bounces.control import CONTROL_PATH
from sendgrid_bounces.control.effects import Dropped, alter_response, replace_response
from sendgrid_bounces.core.clock import system_milliseconds
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.faults import Match, StoredFault
from sendgrid_bounces.core.requests import LoggedRequest, RequestInfo
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.redaction import MAX_SHOWN_BODY, Redactor
from sendgrid_bounces.storage.requests import RequestStore
from sendgrid_bounces.web.dialect import Dialect, create_redactor, find_owner
from sendgrid_bounces.web.requests import StrictRequest, current_request, request
from sendgrid_bounces.web.responses import log_failure

#: Statuses of a wrong key. They are rendered in the profile of the server, so that a
#: response does not reveal which accounts exist.
REFUSALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


@dataclass(slots=True)
class Exchange:
    """A request to a dialect, until its response is logged.

    :param received: the system time in milliseconds.
    :param started: a reading of the performance counter.
    :param now: the instant on the emulator's clock.
    :param match: the fault rule that triggers, if any.
    """

    info: RequestInfo
    received: int
    started: float
    now: int
    match: Match | None = None


def register(app: Flask, emulator: Emulator) -> None:
    """Apply fault rules to the requests of all dialects, and log these requests."""
    redactor = create_redactor(emulator.dialects)
    by_blueprint = {dialect.blueprint.name: dialect for dialect in emulator.dialects}
    system = emulator.clock.system

    def before() -> Response | None:
        sent = current_request()
        dialect = by_blueprint.get(sent.blueprint or "")
        dialect = dialect or _find_dialect(emulator, sent)
        if dialect is None:
            return None
        received, started = system_milliseconds(), time.perf_counter()
        info = dialect.read_request_info()

        def render(status: int) -> Response:
            account = None if status in REFUSALS else info.account
            return dialect.render_error(status, info.path, account)

        try:
            faults, clock = emulator.storage.faults.read_with_clock()
            exchange = Exchange(info, received, started, clock.now(system.now()))
            if not faults:
                sent.exchange = exchange
                return None
            match = exchange.match = _match(emulator, faults, info, exchange.now)
            if match is None:
                response = None
            else:
                response = replace_response(
                    match, render, sends_retry_after=dialect.sends_retry_after
                )
        except StorageError as error:  # the view would fail, too
            log_failure(error)
            return dialect.render_error(503, info.path)
        sent.exchange = exchange
        return response

    app.before_request(before)
    app.after_request(partial(_after, emulator, redactor))


def _find_dialect(emulator: Emulator, sent: StrictRequest) -> Dialect | None:
    """Return the dialect of a request that no blueprint of a dialect handles."""
    if sent.path.startswith(f"{CONTROL_PATH}/"):
        return None
    host = sent.environ.get("HTTP_HOST", "")
    return find_owner(emulator.dialects, sent.path, host)


def _after(emulator: Emulator, redactor: Redactor, response: Response) -> Response:
    """Apply the triggered rule to the response, and log the request."""
    sent = current_request()
    exchange: Exchange | None = sent.exchange
    if exchange is None:
        return response
    rows_changed = getattr(response, "rows_changed", None)
    body = _read_head(response)
    if exchange.match is not None:
        response = alter_response(exchange.match.rule, response)
        body = _read_head(response) if response.is_sequence else body
    log = emulator.storage.requests
    if log.size:
        with suppress(StorageError):  # the entry has no account then
            exchange.info = _with_owner(emulator, exchange.info)
        entry = _entry(redactor, sent, response, body, rows_changed)
        _log(log, entry, exchange.started, response)
    return response


def _log(
    log: RequestStore, entry: LoggedRequest, started: float, response: Response
) -> None:
    """Add *entry* to the log; complete it when a response in pieces has been sent."""
    was_degraded = log.is_degraded
    try:
        id_ = log.add(entry)
    except StorageError as error:  # the request itself has succeeded
        if not was_degraded:
            current_app.logger.warning("request not logged: %s", error)
        return
    if not response.is_sequence:

        def complete(size: int) -> None:
            duration = _milliseconds_since(started)
            with suppress(StorageError):
                log.complete(id_, duration_ms=duration, response_bytes=size)

        response.response = _counted(response.iter_encoded(), complete)


def _read_head(response: Response) -> bytes:
    """Return the first bytes of a body; more of them if it is not sent in pieces."""
    if response.is_sequence:
        return response.get_data()
    pieces = iter(response.iter_encoded())
    head, size = [], 0
    for piece in pieces:
        head.append(piece)
        size += len(piece)
        if size >= 2 * MAX_SHOWN_BODY:
            break
    response.response = chain(head, pieces)
    return b"".join(head)


def _counted(
    pieces: Iterable[bytes], complete: Callable[[int], None]
) -> Iterator[bytes]:
    """Yield *pieces*; report their length when all are sent or the client is gone."""
    size = 0
    try:
        for piece in pieces:
            size += len(piece)
            yield piece
    finally:
        complete(size)


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1_000, 3)


def _match(
    emulator: Emulator, faults: Iterable[StoredFault], info: RequestInfo, now: int
) -> Match | None:
    """Count the request for the rules that match, and return the one that triggers."""
    matching = [*_matching(emulator, faults, info)]
    return emulator.storage.faults.trigger(matching, now) if matching else None


def _matching(
    emulator: Emulator, faults: Iterable[StoredFault], info: RequestInfo
) -> Iterator[StoredFault]:
    has_owner = False
    for fault in faults:
        if fault.rule.account is not None and not has_owner:
            info, has_owner = _with_owner(emulator, info), True
        if fault.rule.matches(info):
            yield fault


def _with_owner(emulator: Emulator, info: RequestInfo) -> RequestInfo:
    """Return *info* with the account that owns the domain, if it has no account."""
    if info.account is not None or info.domain is None:
        return info
    if request.domain_owner is not None:
        return replace(info, account=request.domain_owner)
    found = emulator.storage.accounts.find_domain(info.domain)
    return replace(info, account=found.account.username if found else None)


def _entry(
    redactor: Redactor,
    sent: StrictRequest,
    response: Response,
    body: bytes,
    rows_changed: int | None,
) -> LoggedRequest:
    exchange: Exchange = sent.exchange
    info = exchange.info
    redactor = redactor.with_secrets(sent.find_secrets())
    agent = sent.environ.get("HTTP_USER_AGENT")
    parameters, texts, text = redactor.redact_request(
        sent.shown_parameters,
        (info.method, info.path, info.account or "", info.domain or "", agent or ""),
        body[: 2 * MAX_SHOWN_BODY].decode(errors="replace"),
    )
    method, path, account, domain, user_agent = texts
    return LoggedRequest(
        id=0,
        received=exchange.received,
        emulated_time=exchange.now,
        duration_ms=_milliseconds_since(exchange.started),
        dialect=info.dialect,
        operation=info.operation,
        account=account or None,
        domain=domain or None,
        method=method,
        path=path,
        parameters=parameters,
        user_agent=user_agent or None,
        status=None if isinstance(response, Dropped) else response.status_code,
        rows=rows_changed,
        fault=None if exchange.match is None else exchange.match.id,
        response_bytes=len(body) if response.is_sequence else None,
        response=text,
    )
