"""The control service of a server, over HTTP."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

from sendgrid_bounces.cli.transport import ServerError, Transport
from sendgrid_bounces.control import documents
from sendgrid_bounces.control.documents import (
    LISTS,
    AccountReport,
    BounceBatch,
    BounceCount,
    BounceOwner,
    ClockReading,
    DomainReport,
    Overview,
    SourceReport,
)
from sendgrid_bounces.core.bounces import Bounce, BounceQuery
from sendgrid_bounces.core.contents import Counts, Snapshot
from sendgrid_bounces.core.errors import UnknownNameError
from sendgrid_bounces.core.faults import StoredFault
from sendgrid_bounces.core.histograms import DEFAULT_RANGE, Histogram
from sendgrid_bounces.core.migration import MigrationReport
from sendgrid_bounces.core.pulls import Pull
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.core.times import render_instant

#: How many bounces or requests a call returns, and how many seconds it waits. These are
#: the defaults of the service, whose import takes longer.
DEFAULT_LIMIT, DEFAULT_WAIT = 100, 5

#: The media type of a list that is sent line by line.
NDJSON = "application/x-ndjson"

#: Lines that are sent at once.
LINES = 500

#: Seconds that a server on this machine has to answer.
PROBE_TIMEOUT = 1

ALL = BounceQuery()

Result = TypeVar("Result")


class RemoteControl:
    """The methods of :class:`~sendgrid_bounces.control.service.Control`, over HTTP.

    See there for their descriptions. Raises the same errors as the service, with the
    messages of the server, or :class:`ServerError`.
    """

    def __init__(self, url: str, token: str = "", certificate: str = "") -> None:
        self._transport = Transport(url, token, certificate)

    def overview(self) -> Overview:
        return self._get(documents.parse_overview, "/")

    def counts(self) -> Counts:
        return self.overview().contents

    def reset(self, *, empty: bool = False) -> Counts:
        return self._reset({"to": "empty" if empty else "seed"})

    def reset_account(self, name: str, *, empty: bool = False) -> Counts:
        return self._reset({"to": "empty" if empty else "seed", "account": name})

    def seed(self, source: str | Mapping[str, Any]) -> Counts:
        text = source if isinstance(source, str) else json.dumps(source)
        return self._transport.call(
            documents.parse_counts,
            "POST",
            "/seed",
            body=text,
            content_type="application/yaml",
        )

    def clock(self) -> ClockReading:
        return self._get(documents.parse_clock, "/clock")

    def freeze(self, instant: int | None = None) -> ClockReading:
        if instant is None:
            return self._change_clock(action="freeze")
        return self._change_clock(action="freeze", instant=render_instant(instant))

    def set_clock(self, instant: int) -> ClockReading:
        return self._change_clock(action="set", instant=render_instant(instant))

    def advance(self, seconds: int) -> ClockReading:
        return self._change_clock(action="advance", duration=f"PT{seconds}S")

    def reset_clock(self) -> ClockReading:
        return self._change_clock(action="reset")

    def snapshots(self) -> list[Snapshot]:
        return self._get(_each("snapshots", documents.parse_snapshot), "/snapshots")

    def take_snapshot(self, name: str) -> Snapshot:
        path = f"/snapshots/{_quote(name)}"
        return self._send(documents.parse_snapshot, "PUT", path)

    def restore_snapshot(self, name: str) -> Counts:
        path = f"/snapshots/{_quote(name)}/restore"
        return self._send(documents.parse_counts, "POST", path)

    def remove_snapshot(self, name: str) -> None:
        self._send(_ignore, "DELETE", f"/snapshots/{_quote(name)}")

    def faults(self) -> list[StoredFault]:
        return self._get(_each("faults", documents.parse_fault), "/faults")

    def fault(self, id_: int) -> StoredFault:
        return self._get(documents.parse_fault, f"/faults/{id_}")

    def add_fault(self, rule: Mapping[str, Any]) -> int:
        (id_,) = self.add_faults(rule)
        return id_

    def add_faults(self, rules: Any) -> list[int]:
        return self._send(_each("ids", int), "POST", "/faults", rules)

    def remove_fault(self, id_: int) -> None:
        self._send(_ignore, "DELETE", f"/faults/{id_}")

    def clear_faults(self) -> int:
        return self._send(_number("removed"), "DELETE", "/faults")

    def requests(
        self, limit: int = DEFAULT_LIMIT, **filters: Any
    ) -> list[LoggedRequest]:
        parse = _each("requests", documents.parse_request)
        return self._get(parse, "/requests", limit=limit, **_filters(filters))

    def request(self, id_: int) -> LoggedRequest:
        return self._get(documents.parse_request, f"/requests/{id_}")

    def explain(self, entry: LoggedRequest) -> str | None:
        return self._get(_parse_reason, f"/requests/{entry.id}")

    def count_requests(self, **filters: Any) -> int:
        return self._get(_number("count"), "/requests/count", **_filters(filters))

    def wait_for_requests(
        self, count: int = 1, timeout: float = DEFAULT_WAIT, **filters: Any
    ) -> int:
        query = {"count": count, "timeout": timeout, **_filters(filters)}
        return self._get(_number("count"), "/requests/wait", **query)

    def clear_requests(self) -> int:
        return self._send(_number("removed"), "DELETE", "/requests")

    def migration(self) -> MigrationReport:
        return self._get(documents.parse_migration, "/migration")

    def accounts(self) -> list[AccountReport]:
        return self._get(_each("accounts", documents.parse_account), "/accounts")

    def account(self, name: str) -> AccountReport:
        return self._get(documents.parse_account, f"/accounts/{_quote(name)}")

    def add_account(
        self,
        name: str,
        *,
        api_key: str | None = None,
        reseller: str | None = None,
        profile: str | None = None,
        timezone: str = "UTC",
    ) -> AccountReport:
        account = {"name": name, "profile": profile, "timezone": timezone}
        if api_key is not None:
            account["api_key"] = api_key
        if reseller is not None:
            account["reseller"] = reseller
        return self._send(documents.parse_account, "POST", "/accounts", account)

    def change_account(self, name: str, changes: Mapping[str, Any]) -> AccountReport:
        path = f"/accounts/{_quote(name)}"
        return self._send(documents.parse_account, "PATCH", path, dict(changes))

    def remove_account(self, name: str) -> Counts:
        return self._send(_parse_removed, "DELETE", f"/accounts/{_quote(name)}")

    def domains(self) -> list[DomainReport]:
        return self._get(_each("domains", documents.parse_domain), "/domains")

    def domain(self, name: str) -> DomainReport:
        return self._get(documents.parse_domain, f"/domains/{_quote(name)}")

    def add_domain(
        self, name: str, account: str, *, shares_list: bool = False
    ) -> DomainReport:
        domain = {"name": name, "account": account, "list": LISTS[shares_list]}
        return self._send(documents.parse_domain, "POST", "/domains", domain)

    def remove_domain(self, name: str) -> Counts:
        return self._send(_parse_removed, "DELETE", f"/domains/{_quote(name)}")

    def owner(self, name: str) -> BounceOwner:
        try:
            return BounceOwner(name, self.account(name).timezone)
        except UnknownNameError:
            pass
        try:
            return BounceOwner(name, self.domain(name).timezone)
        except UnknownNameError:
            raise UnknownNameError("account or domain", name) from None

    def bounces(
        self,
        owner: str,
        query: BounceQuery = ALL,
        *,
        limit: int = DEFAULT_LIMIT,
        offset: int = 0,
        after: str | None = None,
    ) -> BounceBatch:
        parameters = {"limit": limit, "offset": offset or None, "after": after}
        parameters |= _query(owner, query)
        return self._get(documents.parse_batch, "/bounces", **parameters)

    def count_bounces(
        self, owner: str, query: BounceQuery = ALL, by: str | None = None
    ) -> BounceCount:
        parameters = {**_query(owner, query), "by": by}
        return self._get(documents.parse_count, "/bounces/count", **parameters)

    def histogram(self, days: str = DEFAULT_RANGE) -> Histogram:
        return self._get(documents.parse_histogram, "/bounces/histogram", days=days)

    def put_bounces(self, owner: str, bounces: Iterable[Bounce]) -> int:
        return self._transport.call(
            _number("stored"),
            "POST",
            "/bounces",
            {"owner": owner},
            _lines(bounces),
            NDJSON,
        )

    def remove_bounces(self, owner: str, emails: Sequence[str] = ()) -> int:
        query = {"owner": owner, "email": emails}
        return self._transport.call(_number("removed"), "DELETE", "/bounces", query)

    def sources(self) -> list[SourceReport]:
        return self._get(_each("sources", documents.parse_source), "/sources")

    def pulls(self) -> list[Pull]:
        return self._get(_each("pulls", documents.parse_pull), "/sources")

    def add_source(self, source: Mapping[str, Any]) -> SourceReport:
        return self._send(documents.parse_source, "POST", "/sources", dict(source))

    def remove_source(self, name: str) -> None:
        self._send(_ignore, "DELETE", f"/sources/{_quote(name)}")

    def _get(self, parse: Callable[[Any], Result], path: str, **query: Any) -> Result:
        return self._transport.call(parse, "GET", path, query)

    def _send(
        self,
        parse: Callable[[Any], Result],
        method: str,
        path: str,
        document: Any = None,
    ) -> Result:
        body = None if document is None else json.dumps(document)
        return self._transport.call(parse, method, path, body=body)

    def _reset(self, query: Mapping[str, str]) -> Counts:
        return self._transport.call(documents.parse_counts, "POST", "/reset", query)

    def _change_clock(self, **change: str) -> ClockReading:
        return self._send(documents.parse_clock, "PUT", "/clock", change)


def find_server(port: int) -> str | None:
    """Return the URL of the server on *port* of this machine, if there is one."""
    url = f"http://127.0.0.1:{port}"
    try:
        probe = Transport(url, timeout=PROBE_TIMEOUT)
        return url if port and probe.call(_is_health, "GET", "/health") else None
    except ServerError:
        return None


def _is_health(document: Any) -> bool:
    return "database" in document


def _ignore(document: Any) -> None:
    """Ignore what a removal reports."""
    del document


def _number(name: str) -> Callable[[Any], int]:
    """Return a function that returns a number in a document."""
    return lambda document: int(document[name])


def _each(name: str, parse: Callable[[Any], Result]) -> Callable[[Any], list[Result]]:
    """Return a function that parses each item of a list in a document."""
    return lambda document: [parse(item) for item in document[name]]


def _parse_reason(document: Any) -> str | None:
    reason = document.get("why")
    return None if reason is None else str(reason)


def _parse_removed(document: Any) -> Counts:
    return documents.parse_counts(document["removed"])


def _quote(name: str) -> str:
    """Return *name* as one segment of a path."""
    return quote(name, safe="")


def _filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters of the request log as query parameters."""
    since = filters.get("since")
    instant = None if since is None else render_instant(since)
    return {**filters, "since": instant}


def _query(owner: str, query: BounceQuery) -> dict[str, Any]:
    """Return the query parameters that select bounces."""
    since, until = (
        None if instant is None else render_instant(instant)
        for instant in (query.created_from, query.created_before)
    )
    return {
        "owner": owner,
        "type": None if query.type is None else query.type.label,
        "status": query.status_glob or None,
        "email": query.email_globs or None,
        "since": since,
        "until": until,
    }


def _lines(bounces: Iterable[Bounce]) -> Iterator[bytes]:
    """Yield each bounce as a line of JSON, several at once."""
    lines = (f"{json.dumps(documents.render_bounce(bounce))}\n" for bounce in bounces)
    while part := "".join(islice(lines, LINES)):
        yield part.encode()
