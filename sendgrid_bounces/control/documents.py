"""The documents of the control service, and their forms in JSON.

Endpoints, commands and pages use the same forms. Each ``render_`` function has a
``parse_`` function that undoes it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.contents import Counts, Snapshot
from sendgrid_bounces.core.faults import FaultRule, StoredFault
from sendgrid_bounces.core.histograms import Histogram, Interval
from sendgrid_bounces.core.migration import (
    MigratedCall,
    MigrationReport,
    SeenCall,
    Trap,
)
from sendgrid_bounces.core.pulls import Pull
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.core.sources import COUNTERS, SourceCounts
from sendgrid_bounces.core.times import (
    parse_instant,
    parse_milliseconds,
    render_instant,
    render_milliseconds,
    render_optional,
)

Json = Mapping[str, Any]

#: The values of ``list`` in JSON: a domain has its own list, or that of the account.
LISTS = {False: "own", True: "account"}


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The current time of the clock."""

    now: int
    frozen: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The emulator as a whole.

    :param database: the name of the database product.
    :param seed_files: the number of files that a reset loads.
    """

    version: str
    database: str
    seed_files: int
    contents: Counts


@dataclass(frozen=True, slots=True)
class DomainReport:
    """A Mailgun domain.

    :param timezone: the time zone of the account.
    :param shares_list: whether it has the bounces of the account.
    """

    name: str
    account: str
    timezone: str
    shares_list: bool
    bounces: int


@dataclass(frozen=True, slots=True)
class AccountReport:
    """An account with its customers and domains.

    :param profile: None for the profile of the server.
    :param customers: the names of its customers.
    """

    name: str
    profile: str | None
    timezone: str
    reseller: str | None
    bounces: int
    customers: tuple[str, ...]
    domains: tuple[DomainReport, ...]


@dataclass(frozen=True, slots=True)
class BounceOwner:
    """The account or domain that a bounce list is named by.

    :param timezone: the time zone of the account.
    """

    name: str
    timezone: str


@dataclass(frozen=True, slots=True)
class BounceBatch:
    """Consecutive bounces of a list, oldest first.

    :param next: the cursor of the next batch; None after the last one.
    """

    bounces: tuple[Bounce, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class BounceCount:
    """A number of bounces.

    :param groups: the number of each group; None unless they were asked for.
    """

    count: int
    groups: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class SourceReport:
    """A source of bounces, without its secrets.

    :param path: of its endpoint; None if mails are piped into a command.
    :param verified_by: the names of the settings that verify requests.
    :param last_event: the instant of the last accepted request or mail.
    :param last_problem: the instant of the last refusal or invalid event.
    :param problem: the reason of that.
    :param confirm_url: the URL that confirms a subscription; empty unless one waits.
    """

    name: str
    owner: str
    kind: str
    path: str | None
    verified_by: tuple[str, ...]
    counts: SourceCounts
    last_event: int | None
    last_problem: int | None
    problem: str
    confirm_url: str


def render_clock(reading: ClockReading) -> dict[str, Any]:
    return {"now": render_instant(reading.now), "frozen": reading.frozen}


def parse_clock(data: Json) -> ClockReading:
    return ClockReading(parse_instant(data["now"]), data["frozen"])


def render_counts(counts: Counts) -> dict[str, int]:
    return asdict(counts)


def parse_counts(data: Json) -> Counts:
    return Counts(data["accounts"], data["domains"], data["bounces"])


def render_overview(overview: Overview) -> dict[str, Any]:
    return {
        "version": overview.version,
        "database": overview.database,
        "seed_files": overview.seed_files,
        **render_counts(overview.contents),
    }


def parse_overview(data: Json) -> Overview:
    return Overview(
        data["version"], data["database"], data["seed_files"], parse_counts(data)
    )


def render_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {**asdict(snapshot), "created": render_instant(snapshot.created)}


def parse_snapshot(data: Json) -> Snapshot:
    return Snapshot(**{**data, "created": parse_instant(data["created"])})


def render_fault(fault: StoredFault) -> dict[str, Any]:
    return {
        "id": fault.id,
        "rule": fault.rule.as_dict(),
        "matched": fault.matched,
        "fired": fault.triggered,
    }


def parse_fault(data: Json) -> StoredFault:
    rule = FaultRule(**data["rule"])
    return StoredFault(data["id"], rule, data["matched"], data["fired"])


def render_request(entry: LoggedRequest) -> dict[str, Any]:
    time = render_instant(entry.emulated_time)
    received = render_milliseconds(entry.received)
    return {
        **asdict(entry),
        "received": received,
        "emulated_time": time,
        "time": time,  # the former name
    }


def parse_request(data: Json) -> LoggedRequest:
    values = {field.name: data[field.name] for field in fields(LoggedRequest)}
    values["received"] = parse_milliseconds(data["received"])
    values["emulated_time"] = parse_instant(data["emulated_time"])
    return LoggedRequest(**values)


def render_domain(domain: DomainReport) -> dict[str, Any]:
    return {
        "name": domain.name,
        "account": domain.account,
        "timezone": domain.timezone,
        "list": LISTS[domain.shares_list],
        "bounces": domain.bounces,
    }


def parse_domain(data: Json) -> DomainReport:
    return DomainReport(
        name=data["name"],
        account=data["account"],
        timezone=data["timezone"],
        shares_list=data["list"] == LISTS[True],
        bounces=data["bounces"],
    )


def render_account(account: AccountReport) -> dict[str, Any]:
    return {
        "name": account.name,
        "profile": account.profile,
        "timezone": account.timezone,
        "reseller": account.reseller,
        "bounces": account.bounces,
        "customers": [*account.customers],
        "domains": [render_domain(domain) for domain in account.domains],
    }


def parse_account(data: Json) -> AccountReport:
    return AccountReport(
        name=data["name"],
        profile=data["profile"],
        timezone=data["timezone"],
        reseller=data["reseller"],
        bounces=data["bounces"],
        customers=tuple(data["customers"]),
        domains=tuple(parse_domain(domain) for domain in data["domains"]),
    )


def render_bounce(bounce: Bounce) -> dict[str, Any]:
    """Return the record of *bounce*, as in exports and seed files."""
    return {
        "email": bounce.email,
        "status": bounce.status,
        "code": bounce.code,
        "reason": bounce.reason,
        "created": render_instant(bounce.created),
        "reported": bounce.reported,
    }


def parse_bounce(data: Json) -> Bounce:
    return Bounce(**{**data, "created": parse_instant(data["created"])})


def render_batch(batch: BounceBatch) -> dict[str, Any]:
    return {
        "bounces": [render_bounce(bounce) for bounce in batch.bounces],
        "next": batch.next,
    }


def parse_batch(data: Json) -> BounceBatch:
    return BounceBatch(tuple(map(parse_bounce, data["bounces"])), data["next"])


def render_count(count: BounceCount) -> dict[str, Any]:
    groups = {} if count.groups is None else {"groups": dict(count.groups)}
    return {"count": count.count, **groups}


def parse_count(data: Json) -> BounceCount:
    return BounceCount(data["count"], data.get("groups"))


def render_histogram(histogram: Histogram) -> dict[str, Any]:
    return {
        "days": histogram.days,
        "intervals": [asdict(interval) for interval in histogram.intervals],
    }


def parse_histogram(data: Json) -> Histogram:
    intervals = tuple(Interval(**interval) for interval in data["intervals"])
    return Histogram(data["days"], intervals)


def render_migration(report: MigrationReport) -> dict[str, Any]:
    return {
        "calls": [_render_migrated(found) for found in report.calls],
        "unknown": report.unknown,
    }


def _render_migrated(found: MigratedCall) -> dict[str, Any]:
    return {
        "dialect": found.call.dialect,
        "operation": found.call.operation,
        "format": found.call.format,
        "parameters": [*found.call.parameters],
        "type": found.call.type or None,
        "count": found.count,
        "requests": [*found.requests],
        "note": found.note,
        "traps": [{"name": trap.name, "text": trap.text} for trap in found.traps],
    }


def parse_migration(data: Json) -> MigrationReport:
    return MigrationReport(tuple(map(_parse_migrated, data["calls"])), data["unknown"])


def _parse_migrated(data: Json) -> MigratedCall:
    call = SeenCall(
        data["dialect"],
        data["operation"],
        data["format"],
        tuple(data["parameters"]),
        data["type"] or "",
    )
    traps = tuple(Trap(**trap) for trap in data["traps"])
    return MigratedCall(
        call, data["count"], tuple(data["requests"]), data["note"], traps
    )


def render_source(source: SourceReport) -> dict[str, Any]:
    return {
        "name": source.name,
        "owner": source.owner,
        "kind": source.kind,
        "path": source.path,
        "verified_by": [*source.verified_by],
        **asdict(source.counts),
        "last_event": render_optional(source.last_event),
        "last_problem": render_optional(source.last_problem),
        "problem": source.problem,
        "confirm_url": source.confirm_url,
    }


def parse_source(data: Json) -> SourceReport:
    return SourceReport(
        name=data["name"],
        owner=data["owner"],
        kind=data["kind"],
        path=data["path"],
        verified_by=tuple(data["verified_by"]),
        counts=SourceCounts(*(data[name] for name in COUNTERS)),
        last_event=_parse_optional(data["last_event"]),
        last_problem=_parse_optional(data["last_problem"]),
        problem=data["problem"],
        confirm_url=data["confirm_url"],
    )


#: The fields of a pull that are instants.
PULL_INSTANTS = ("finished", "start", "end", "failed")


def render_pull(pull: Pull) -> dict[str, Any]:
    instants = {name: render_optional(getattr(pull, name)) for name in PULL_INSTANTS}
    return {**asdict(pull), **instants}


def parse_pull(data: Json) -> Pull:
    instants = {name: _parse_optional(data[name]) for name in PULL_INSTANTS}
    return Pull(**{**data, **instants})


def _parse_optional(text: str | None) -> int | None:
    return None if text is None else parse_instant(text)
