"""The schema of a seed file: accounts, customers, domains, bounces and fault rules."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields, validate

from sendgrid_bounces.core.accounts import (
    DOMAIN_RULE,
    KEY_RULE,
    NAME_RULE,
    is_domain_name,
    is_name,
)
from sendgrid_bounces.core.bounces import Bounce, fold
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.faults import FaultRule
from sendgrid_bounces.core.timezones import TimeZone, time_zone
from sendgrid_bounces.schemas.accounts import Profile
from sendgrid_bounces.schemas.base import (
    MAX_PROBLEMS,
    MESSAGES,
    List,
    Problem,
    StrictSchema,
    Text,
    load,
    one_of,
)
from sendgrid_bounces.schemas.bounces import describe_doubts, read_dated_record
from sendgrid_bounces.schemas.faults import Operations, read_fault_rules
from sendgrid_bounces.schemas.loader import parse, read_text
from sendgrid_bounces.schemas.sources import SourceSeed, read_source

#: Accounts, domains and sources in a seed. Other writes wait while they are stored.
MAX_NAMES = 1_000


def _check_name(text: str) -> None:
    if not is_name(text):
        raise ValidationError(NAME_RULE)


def _check_domain_name(text: str) -> None:
    if not is_domain_name(text):
        raise ValidationError(DOMAIN_RULE)


class DomainSchema(StrictSchema):
    """A Mailgun domain."""

    name = Text(required=True, validate=_check_domain_name)
    bounces = List(fields.Raw(), load_default=list)
    list = Text(
        validate=one_of(["own", "account"]),
        load_default="own",
        metadata={"description": "account shares the bounce list of the account."},
    )


class AccountSchema(StrictSchema):
    """An account or, with the same fields, a reseller's customer."""

    username = Text(required=True, validate=_check_name)
    api_key = Text(validate=validate.Regexp("[^\0]+\\Z", error=KEY_RULE))
    profile = Profile(
        metadata={"description": "The profile of the server if absent."},
    )
    timezone = Text(
        metadata={"description": "The time zone of its days; UTC if absent."}
    )
    bounces = List(fields.Raw(), load_default=list)
    customers = List(
        fields.Nested(lambda: AccountSchema(), error_messages=MESSAGES),
        metadata={"description": "Makes the account a reseller."},
    )
    domains = List(
        fields.Nested(DomainSchema, error_messages=MESSAGES), load_default=list
    )


class SeedSchema(StrictSchema):
    """A whole seed file."""

    accounts = List(
        fields.Nested(AccountSchema, error_messages=MESSAGES), required=True
    )
    faults = List(fields.Raw(), load_default=list)
    sources = List(fields.Raw(), load_default=list)


SEED = SeedSchema()


@dataclass(frozen=True, slots=True)
class ListSeed:
    """The bounces of a list, with and without a time in the file."""

    dated: list[Bounce]
    undated: list[Bounce]


@dataclass(frozen=True, slots=True)
class DomainSeed:
    """A domain in a seed file."""

    name: str
    shares_list: bool
    bounces: ListSeed


@dataclass(frozen=True, slots=True)
class AccountSeed:
    """An account in a seed file.

    :param settings: the columns of the account that the file sets.
    """

    username: str
    api_key: str | None
    settings: dict[str, Any]
    bounces: ListSeed
    customers: "list[AccountSeed]"
    domains: list[DomainSeed]


@dataclass(frozen=True, slots=True)
class Seed:
    """The contents of a seed file."""

    accounts: list[AccountSeed]
    faults: list[FaultRule]
    sources: list[SourceSeed]


def read_seed_file(
    path: str, now: int, operations: Operations, doubts: list[Problem] | None = None
) -> Seed:
    """Return the seed in the file *path*; see :func:`read_seed`.

    :raises ParametersError: with every problem, after the path of the file.
    """
    try:
        return read_seed(read_text(path, is_repeated=True), now, operations, doubts)
    except ParametersError as error:
        raise error.within(path, ": ") from None


def read_seed(
    text: str,
    now: int,
    operations: Operations,
    doubts: list[Problem] | None = None,
) -> Seed:
    """Return the seed in *text*, YAML or JSON.

    :param now: the instant of bounces without a time.
    :param operations: the operations that a fault rule can name, by dialect.
    :param doubts: a list that receives the implausible fields of bounces.
    :raises ParametersError: with the first problems and their paths.
    """
    reader = _Reader(now, doubts)
    try:
        raw = parse(text)
        _check_number(raw)
        document = load(SEED, raw)
        accounts = [
            reader.account(raw, f"accounts[{i}]")
            for i, raw in enumerate(document["accounts"])
        ]
    except RecursionError:
        raise ParametersError([("", "nested too deeply")]) from None
    raws = document["faults"]
    rules = reader.fault_rules(raws, operations) if raws else []
    sources = reader.sources(document["sources"])
    if reader.problems:
        raise ParametersError(reader.problems)
    return Seed(accounts, rules, sources)


def _check_number(document: Any) -> None:
    """Check the number of names in a document that is not validated yet.

    :raises ParametersError: if there are more than :data:`MAX_NAMES`.
    """
    number, mappings = 0, [document]
    while mappings:
        mapping = mappings.pop()
        for field in ("accounts", "customers", "domains", "sources"):
            found = mapping.get(field) if isinstance(mapping, dict) else None
            if isinstance(found, list):
                number += len(found)
                mappings += found
        if number > MAX_NAMES:
            rule = f"more than {MAX_NAMES:,} accounts, domains and sources: divide it"
            raise ParametersError([("", rule)])


class _Reader:
    """Convert the validated fields of a seed file, and collect further problems.

    All methods raise :class:`ParametersError` when there are :data:`MAX_PROBLEMS`.
    """

    def __init__(self, now: int, doubts: list[Problem] | None) -> None:
        self.problems: list[Problem] = []
        self._doubts = doubts
        self._now = now
        self._names: set[tuple[str, str]] = set()

    def account(
        self, raw: Mapping[str, Any], path: str, *, is_customer: bool = False
    ) -> AccountSeed:
        self._check_unique("account", raw["username"], f"{path}.username")
        if is_customer and "customers" in raw:
            self._report([(f"{path}.customers", "a customer cannot have customers")])
        settings = {k: raw[k] for k in ("profile", "timezone") if k in raw}
        if "customers" in raw:
            settings["is_reseller"] = True
        zone = self._zone(raw.get("timezone", "UTC"), f"{path}.timezone")
        return AccountSeed(
            username=raw["username"],
            api_key=raw.get("api_key"),
            settings=settings,
            bounces=self._bounces(raw["bounces"], zone, f"{path}.bounces"),
            customers=[
                self.account(customer, f"{path}.customers[{i}]", is_customer=True)
                for i, customer in enumerate(raw.get("customers", ()))
            ],
            domains=[
                self._domain(domain, zone, f"{path}.domains[{i}]")
                for i, domain in enumerate(raw["domains"])
            ],
        )

    def sources(self, raws: list[Any]) -> list[SourceSeed]:
        sources = []
        for i, raw in enumerate(raws):
            try:
                source = read_source(raw)
            except ParametersError as error:
                self._report(error.within(f"sources[{i}]").problems)
                continue
            self._check_unique("source", source.name, f"sources[{i}].name")
            sources.append(source)
        return sources

    def fault_rules(self, raws: list[Any], operations: Operations) -> list[FaultRule]:
        try:
            return read_fault_rules(raws, operations)
        except ParametersError as error:
            self._report(error.within("faults", "").problems)
            return []

    def _domain(self, raw: Mapping[str, Any], zone: TimeZone, path: str) -> DomainSeed:
        name = raw["name"].lower()
        self._check_unique("domain", name, f"{path}.name")
        bounces = self._bounces(raw["bounces"], zone, f"{path}.bounces")
        return DomainSeed(name, raw["list"] == "account", bounces)

    def _zone(self, name: str, path: str) -> TimeZone:
        try:
            return time_zone(name)
        except ParametersError as error:
            self._report([(path, error.problems[0][1])])
            return time_zone("UTC")

    def _bounces(self, raws: list[Any], zone: TimeZone, path: str) -> ListSeed:
        seed = ListSeed([], [])
        first_paths: dict[str, str] = {}
        for i, raw in enumerate(raws):
            here = f"{path}[{i}]"
            try:
                bounce, is_dated = read_dated_record(raw, zone, self._now)
            except ParametersError as error:
                self._report(error.within(here).problems)
                continue
            if self._doubts is not None:
                found = describe_doubts(bounce)
                self._doubts += [(f"{here}.{field}", text) for field, text in found]
            first = first_paths.setdefault(fold(bounce.email), here)
            if first != here:
                self._report([(f"{here}.email", f"same address as {first}")])
            (seed.dated if is_dated else seed.undated).append(bounce)
        return seed

    def _check_unique(self, kind: str, name: str, path: str) -> None:
        if (kind, name) in self._names:
            self._report([(path, f"duplicate {kind} {name!r}")])
        self._names.add((kind, name))

    def _report(self, problems: Iterable[Problem]) -> None:
        self.problems += problems
        if len(self.problems) >= MAX_PROBLEMS:
            raise ParametersError(self.problems)
