"""The control service of a server, over HTTP."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
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


class RemoteControl:
    """The methods of :class:`~sendgrid_bounces.control.service.Control`, over HTTP.

    See there for their descriptions. Errors are those of the service, with the messages
    that the server sends, or :class:`ServerError`.
    """

    def __init__(self, url: str, token: str = "", certificate: str = "") -> None:
        self._transport = Transport(url, token, certificate)

    def overview(self) -> Overview:
        return documents.parse_overview(self._get("/"))

    def counts(self) -> Counts:
        return self.overview().contents

    def reset(self, *, empty: bool = False) -> Counts:
        return self._reset({"to": "empty" if empty else "seed"})

    def reset_account(self, name: str, *, empty: bool = False) -> Counts:
        return self._reset({"to": "empty" if empty else "seed", "account": name})

    def seed(self, source: str | Mapping[str, Any]) -> Counts:
        text = source if isinstance(source, str) else json.dumps(source)
        call = self._transport.call
        return documents.parse_counts(
            call("POST", "/seed", body=text, content_type="application/yaml")
        )

    def clock(self) -> ClockReading:
        return documents.parse_clock(self._get("/clock"))

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
        found = self._get("/snapshots")["snapshots"]
        return [documents.parse_snapshot(each) for each in found]

    def take_snapshot(self, name: str) -> Snapshot:
        path = f"/snapshots/{_quote(name)}"
        return documents.parse_snapshot(self._send("PUT", path))

    def restore_snapshot(self, name: str) -> Counts:
        path = f"/snapshots/{_quote(name)}/restore"
        return documents.parse_counts(self._send("POST", path))

    def remove_snapshot(self, name: str) -> None:
        self._send("DELETE", f"/snapshots/{_quote(name)}")

    def faults(self) -> list[StoredFault]:
        return [documents.parse_fault(each) for each in self._get("/faults")["faults"]]

    def fault(self, id_: int) -> StoredFault:
        return documents.parse_fault(self._get(f"/faults/{id_}"))

    def add_fault(self, rule: Mapping[str, Any]) -> int:
        (id_,) = self.add_faults(rule)
        return id_

    def add_faults(self, rules: Any) -> list[int]:
        added: list[int] = self._send("POST", "/faults", rules)["ids"]
        return added

    def remove_fault(self, id_: int) -> None:
        self._send("DELETE", f"/faults/{id_}")

    def clear_faults(self) -> int:
        return int(self._send("DELETE", "/faults")["removed"])

    def requests(
        self, limit: int = DEFAULT_LIMIT, **filters: Any
    ) -> list[LoggedRequest]:
        found = self._get("/requests", limit=limit, **_filters(filters))["requests"]
        return [documents.parse_request(each) for each in found]

    def request(self, id_: int) -> LoggedRequest:
        return documents.parse_request(self._get(f"/requests/{id_}"))

    def explain(self, entry: LoggedRequest) -> str | None:
        why: str | None = self._get(f"/requests/{entry.id}").get("why")
        return why

    def count_requests(self, **filters: Any) -> int:
        return int(self._get("/requests/count", **_filters(filters))["count"])

    def wait_for_requests(
        self, count: int = 1, timeout: float = DEFAULT_WAIT, **filters: Any
    ) -> int:
        query = {"count": count, "timeout": timeout, **_filters(filters)}
        return int(self._get("/requests/wait", **query)["count"])

    def clear_requests(self) -> int:
        return int(self._send("DELETE", "/requests")["removed"])

    def migration(self) -> MigrationReport:
        return documents.parse_migration(self._get("/migration"))

    def accounts(self) -> list[AccountReport]:
        found = self._get("/accounts")["accounts"]
        return [documents.parse_account(each) for each in found]

    def account(self, name: str) -> AccountReport:
        return documents.parse_account(self._get(f"/accounts/{_quote(name)}"))

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
        return documents.parse_account(self._send("POST", "/accounts", account))

    def change_account(self, name: str, changes: Mapping[str, Any]) -> AccountReport:
        path = f"/accounts/{_quote(name)}"
        return documents.parse_account(self._send("PATCH", path, dict(changes)))

    def remove_account(self, name: str) -> Counts:
        removed = self._send("DELETE", f"/accounts/{_quote(name)}")["removed"]
        return documents.parse_counts(removed)

    def domains(self) -> list[DomainReport]:
        found = self._get("/domains")["domains"]
        return [documents.parse_domain(each) for each in found]

    def domain(self, name: str) -> DomainReport:
        return documents.parse_domain(self._get(f"/domains/{_quote(name)}"))

    def add_domain(
        self, name: str, account: str, *, shares_list: bool = False
    ) -> DomainReport:
        domain = {"name": name, "account": account, "list": LISTS[shares_list]}
        return documents.parse_domain(self._send("POST", "/domains", domain))

    def remove_domain(self, name: str) -> Counts:
        removed = self._send("DELETE", f"/domains/{_quote(name)}")["removed"]
        return documents.parse_counts(removed)

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
        found = self._get("/bounces", **_query(owner, query), **parameters)
        return documents.parse_batch(found)

    def count_bounces(
        self, owner: str, query: BounceQuery = ALL, by: str | None = None
    ) -> BounceCount:
        found = self._get("/bounces/count", **_query(owner, query), by=by)
        return documents.parse_count(found)

    def histogram(self, days: str = DEFAULT_RANGE) -> Histogram:
        return documents.parse_histogram(self._get("/bounces/histogram", days=days))

    def put_bounces(self, owner: str, bounces: Iterable[Bounce]) -> int:
        call = self._transport.call
        stored = call("POST", "/bounces", {"owner": owner}, _lines(bounces), NDJSON)
        return int(stored["stored"])

    def remove_bounces(self, owner: str, emails: Sequence[str] = ()) -> int:
        query = {"owner": owner, "email": emails}
        return int(self._transport.call("DELETE", "/bounces", query)["removed"])

    def sources(self) -> list[SourceReport]:
        found = self._get("/sources")["sources"]
        return [documents.parse_source(each) for each in found]

    def pulls(self) -> list[Pull]:
        found = self._get("/sources")["pulls"]
        return [documents.parse_pull(each) for each in found]

    def add_source(self, source: Mapping[str, Any]) -> SourceReport:
        return documents.parse_source(self._send("POST", "/sources", dict(source)))

    def remove_source(self, name: str) -> None:
        self._send("DELETE", f"/sources/{_quote(name)}")

    def _get(self, path: str, **query: Any) -> Any:
        return self._transport.call("GET", path, query)

    def _send(self, method: str, path: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document)
        return self._transport.call(method, path, body=body)

    def _reset(self, query: Mapping[str, str]) -> Counts:
        return documents.parse_counts(self._transport.call("POST", "/reset", query))

    def _change_clock(self, **change: str) -> ClockReading:
        return documents.parse_clock(self._send("PUT", "/clock", change))


def find_server(port: int) -> str | None:
    """Return the URL of the server on *port* of this machine, if there is one."""
    url = f"http://127.0.0.1:{port}"
    try:
        probe = Transport(url, timeout=PROBE_TIMEOUT)
        health = probe.call("GET", "/health") if port else {}
    except ServerError:
        return None
    return url if "database" in health else None


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
