"""Seed files: accounts, customers, domains, bounces and fault rules: YAML or JSON."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields, validate

from sendgrid_bounces.core.accounts import (
    DOMAIN_RULE,
    KEY_RULE,
    NAME_RULE,
    PROFILES,
    is_domain_name,
    is_name,
)
from sendgrid_bounces.core.bounces import Bounce, fold
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.faults import FaultRule
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.schemas.base import StrictSchema, Text, load
from sendgrid_bounces.schemas.bounces import read_record
from sendgrid_bounces.schemas.faults import read_fault_rules
from sendgrid_bounces.schemas.loader import parse, read_text


def _check_name(text: str) -> None:
    if not is_name(text):
        raise ValidationError(NAME_RULE)


def _check_domain_name(text: str) -> None:
    if not is_domain_name(text):
        raise ValidationError(DOMAIN_RULE)


class DomainSchema(StrictSchema):
    """A Mailgun domain, with a list of its own or the account's."""

    name = Text(required=True, validate=_check_domain_name)
    bounces = fields.List(fields.Raw(), load_default=list)
    list = Text(load_default="own", validate=validate.OneOf(["own", "account"]))


class AccountSchema(StrictSchema):
    """An account, or a customer, which has the same keys."""

    username = Text(required=True, validate=_check_name)
    api_key = Text(validate=validate.Regexp("[^\0]+\\Z", error=KEY_RULE))
    profile = Text(validate=validate.OneOf(PROFILES))
    timezone = Text()
    bounces = fields.List(fields.Raw(), load_default=list)
    customers = fields.List(fields.Nested(lambda: AccountSchema()))
    domains = fields.List(fields.Nested(DomainSchema), load_default=list)


class SeedSchema(StrictSchema):
    """A whole seed file."""

    accounts = fields.List(fields.Nested(AccountSchema), required=True)
    faults = fields.List(fields.Raw(), load_default=list)


SEED = SeedSchema()


@dataclass(frozen=True, slots=True)
class ListSeed:
    """The bounces of a list: those with a time of their own, and those without."""

    dated: list[Bounce]
    undated: list[Bounce]


@dataclass(frozen=True, slots=True)
class DomainSeed:
    """A domain to be."""

    name: str
    shares_list: bool
    bounces: ListSeed


@dataclass(frozen=True, slots=True)
class AccountSeed:
    """An account to be, *settings* being those of the row that the file names."""

    username: str
    api_key: str | None
    settings: dict[str, Any]
    bounces: ListSeed
    customers: "list[AccountSeed]"
    domains: list[DomainSeed]


@dataclass(frozen=True, slots=True)
class Seed:
    """What a seed file holds."""

    accounts: list[AccountSeed]
    faults: list[FaultRule]


def read_seed_file(path: str, now: int) -> Seed:
    """Read and check the seed file *path*; see :func:`read_seed`.

    :raises ParametersError: each fault begins with the path.
    """
    try:
        return read_seed(read_text(path), now)
    except ParametersError as error:
        raise error.within(path, ": ") from None


def read_seed(text: str, now: int) -> Seed:
    """Return what the seed *text* describes, checked as a whole.

    :param now: the instant of the bounces that name none.
    :raises ParametersError: with every fault, each named by its place.
    """
    reader = _Reader(now)
    try:
        document = load(SEED, parse(text))
        accounts = [
            reader.account(raw, f"accounts[{i}]")
            for i, raw in enumerate(document["accounts"])
        ]
        rules = reader.rules(document["faults"], "faults")
    except RecursionError:
        raise ParametersError([("", "is nested too deeply")]) from None
    if reader.problems:
        raise ParametersError(reader.problems)
    return Seed(accounts, rules)


class _Reader:
    """Turn what the schema let pass into accounts, noting the faults it cannot see."""

    def __init__(self, now: int) -> None:
        self.problems: list[tuple[str, str]] = []
        self._now = now
        self._names: Counter[tuple[str, str]] = Counter()

    def account(self, raw: Mapping[str, Any], place: str) -> AccountSeed:
        self._once("account", raw["username"], f"{place}.username")
        settings = {k: raw[k] for k in ("profile", "timezone") if k in raw}
        if "customers" in raw:
            settings["is_reseller"] = True
        zone = self._zone(raw.get("timezone", "UTC"), f"{place}.timezone")
        return AccountSeed(
            username=raw["username"],
            api_key=raw.get("api_key"),
            settings=settings,
            bounces=self._bounces(raw["bounces"], zone, f"{place}.bounces"),
            customers=[
                self.account(customer, f"{place}.customers[{i}]")
                for i, customer in enumerate(raw.get("customers", ()))
            ],
            domains=[
                self._domain(domain, zone, f"{place}.domains[{i}]")
                for i, domain in enumerate(raw["domains"])
            ],
        )

    def rules(self, raws: list[Any], place: str) -> list[FaultRule]:
        try:
            return read_fault_rules(raws)
        except ParametersError as error:
            self.problems += error.within(place, "").problems
            return []

    def _domain(self, raw: Mapping[str, Any], zone: TimeZone, place: str) -> DomainSeed:
        name = raw["name"].lower()
        self._once("domain", name, f"{place}.name")
        bounces = self._bounces(raw["bounces"], zone, f"{place}.bounces")
        return DomainSeed(name, raw["list"] == "account", bounces)

    def _zone(self, name: str, place: str) -> TimeZone:
        try:
            return TimeZone(name)
        except ParametersError as error:
            self.problems.append((place, error.problems[0][1]))
            return TimeZone()

    def _bounces(self, raws: list[Any], zone: TimeZone, place: str) -> ListSeed:
        seed = ListSeed([], [])
        first_places: dict[str, str] = {}
        for i, raw in enumerate(raws):
            here = f"{place}[{i}]"
            try:
                bounce = read_record(raw, zone, self._now)
            except ParametersError as error:
                self.problems += error.within(here).problems
                continue
            first = first_places.setdefault(fold(bounce.email), here)
            if first != here:
                self.problems.append((f"{here}.email", f"the address of {first} again"))
            (seed.dated if raw.get("created") else seed.undated).append(bounce)
        return seed

    def _once(self, kind: str, name: str, place: str) -> None:
        self._names[kind, name] += 1
        if self._names[kind, name] > 1:
            self.problems.append((place, f"there is an earlier {kind} {name!r}"))
