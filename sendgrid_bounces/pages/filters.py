"""The filter of a list of bounces: from the URL to a query, and to the JSON twin."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sendgrid_bounces.core.bounces import TYPES_BY_LABEL, BounceQuery
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.times import render_instant
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.schemas.queries import MAX_GLOB

#: How an address matches: the value of ``match``, and the pattern of the text.
MATCHES = {"start": "{}*", "contains": "*{}*"}
DEFAULT_MATCH = "start"

#: The parameters of a filter.
FILTERS = ("prefix", "match", "type", "since", "until")


@dataclass(frozen=True, slots=True)
class Filter:
    """The bounces to show.

    :param others: the conditions besides the address.
    :param text: the text that addresses start with or contain; empty for all.
    :param pattern: the pattern of addresses, with the wildcards ``*`` and ``?``.
    """

    others: BounceQuery
    text: str = ""
    pattern: str = ""

    @property
    def query(self) -> BounceQuery:
        """All conditions."""
        globs = (self.pattern,) if self.pattern else ()
        return replace(self.others, email_globs=globs)

    @property
    def is_search(self) -> bool:
        """Whether all addresses have to be looked at."""
        has_wildcard = not {"*", "?"}.isdisjoint(self.text)
        return has_wildcard or self.pattern.startswith("*")

    @property
    def twin(self) -> dict[str, Any]:
        """The parameters of the endpoints with the same bounces as JSON."""
        type_ = self.others.type
        start, end = self.others.created_from, self.others.created_before
        values = {
            "email": self.pattern,
            "type": "" if type_ is None else type_.label,
            "since": "" if start is None else render_instant(start),
            "until": "" if end is None else render_instant(end),
        }
        return {name: value for name, value in values.items() if value}


#: The filter that all bounces match.
NO_FILTER = Filter(BounceQuery())


def given_filters(arguments: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of the filter in a URL."""
    given = {name: arguments[name] for name in FILTERS if arguments.get(name)}
    if given.get("match") == DEFAULT_MATCH or "prefix" not in given:
        given.pop("match", None)
    return given


def read_filter(arguments: Mapping[str, str], zone: TimeZone) -> Filter:
    """Return the filter of a URL.

    :param zone: the time zone of its days.
    :raises ParametersError: with every problem.
    """
    problems: list[tuple[str, str]] = []

    def choose(name: str, choices: Mapping[str, Any]) -> Any:
        text = arguments.get(name, "")
        if text and text not in choices:
            problems.append((name, f"must be one of {', '.join(choices)}"))
        return choices.get(text)

    def read_day(name: str, days: int) -> int | None:
        text = arguments.get(name, "")
        try:
            return _parse_day(text, zone, days) if text else None
        except (ValueError, OverflowError):
            problems.append((name, "must be a date such as 2012-02-15"))
            return None

    type_, match = choose("type", TYPES_BY_LABEL), choose("match", MATCHES)
    since, until = read_day("since", 0), read_day("until", 1)
    text = arguments.get("prefix", "")
    pattern = (match or MATCHES[DEFAULT_MATCH]).format(text) if text else ""
    if len(pattern) > MAX_GLOB:
        problems.append(("prefix", f"must be shorter than {MAX_GLOB} characters"))
    if problems:
        raise ParametersError(problems)
    others = BounceQuery(created_from=since, created_before=until, type=type_)
    return Filter(others, text, pattern)


def _parse_day(text: str, zone: TimeZone, days: int) -> int:
    """Return the first instant of the day *text* in *zone*, or *days* days later."""
    day = datetime.strptime(text, "%Y-%m-%d").date() + timedelta(days)  # noqa: DTZ007 - a day
    return zone.day_starts[day]
