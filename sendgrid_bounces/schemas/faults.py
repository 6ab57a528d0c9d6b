"""The schema of a fault rule in requests, seed files and commands."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from marshmallow import ValidationError, fields

from sendgrid_bounces.core.accounts import MAX_NAME
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.faults import FaultRule
from sendgrid_bounces.schemas.base import (
    MESSAGES,
    Boolean,
    Integer,
    Problem,
    StrictSchema,
    Text,
    got,
    load_valid,
)
from sendgrid_bounces.schemas.requests import Operations, check_names

#: Longest glob in characters, and longest delay in milliseconds.
MAX_GLOB, MAX_LATENCY = 500, 60_000

#: Longest window and longest Retry-After: a year, in seconds.
MAX_SECONDS = 366 * 24 * 60 * 60

#: Largest count. Every JSON implementation represents it exactly.
MAX_COUNT = 2**53

#: The fields of which a rule needs at least one.
EFFECTS = (
    "status",
    "latency_ms",
    "drop_connection",
    "truncate",
    "malformed",
    "limit",
)

#: Fields that cannot be combined.
EXCLUDED: Mapping[str, tuple[str, ...]] = {
    "probability": ("times",),
    "limit": (
        *("times", "skip", "probability", "retry_after"),
        *("drop_connection", "truncate", "malformed"),
    ),
    "drop_connection": ("status", "retry_after", "truncate", "malformed"),
    "truncate": ("malformed",),
}

#: Fields that require another field.
REQUIRED: Mapping[str, str] = {
    "limit": "window_seconds",
    "window_seconds": "limit",
    "seed": "probability",
    "retry_after": "status",
}


class Folded(Text):
    """Case-insensitive text, normalized by *fold*."""

    def __init__(self, fold: Callable[[str], str], most: int, **options: Any) -> None:
        super().__init__(1, most, **options)
        self._fold = fold

    def _deserialize(self, *arguments: Any, **options: Any) -> str:
        return self._fold(super()._deserialize(*arguments, **options))


class Probability(fields.Float):
    """A number from 0 to 1, also as text: YAML files have no other fractions."""

    default_error_messages = MESSAGES

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> float:
        try:
            number = super()._deserialize(value, *arguments, **options)
        except ValidationError:
            number = math.nan
        if not 0 <= number <= 1:
            raise ValidationError("must be a number from 0 to 1" + got(value))
        return number


class DropConnection(fields.Field[str]):
    """``before`` or ``after``; true means before, and false is no effect."""

    default_error_messages = MESSAGES
    values = {"true": "before", "before": "before", "after": "after", "false": None}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        text = str(value).lower() if isinstance(value, str | bool) else ""
        if text not in self.values:
            raise ValidationError("must be true, before or after" + got(value))
        return self.values[text]


class Truncate(fields.Field[int]):
    """A number of bytes; true means half of them, and false is no effect."""

    default_error_messages = MESSAGES
    values = {"true": True, "false": None}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        text = str(value).lower() if isinstance(value, str | int) else ""
        if text in self.values:
            return self.values[text]
        if text.isascii() and text.isdigit() and int(text[:20]) <= MAX_COUNT:
            return int(text)
        raise ValidationError("must be true or a number of bytes" + got(value))


class FaultRuleSchema(StrictSchema):
    """The fields of :class:`FaultRule`: conditions, then counters, then effects."""

    dialect = Text()
    operation = Text()
    account = Text(1, MAX_NAME)
    domain = Folded(str.lower, MAX_NAME)
    email = Text(
        1,
        MAX_GLOB,
        metadata={"description": "A glob for an address that the request names."},
    )
    method = Folded(str.upper, 16)
    path = Text(1, MAX_GLOB, metadata={"description": "A glob for the whole path."})

    skip = Integer(
        0, MAX_COUNT, metadata={"description": "The first N matches do not trigger."}
    )
    times = Integer(
        1, MAX_COUNT, metadata={"description": "At most N matches trigger."}
    )
    probability = Probability(
        metadata={"description": "The share of matches that trigger."}
    )
    seed = Integer(
        0, MAX_COUNT, metadata={"description": "Selects the matches that trigger."}
    )
    limit = Integer(
        0,
        MAX_COUNT,
        metadata={"description": "Matches after the first N of each window trigger."},
    )
    window_seconds = Integer(1, MAX_SECONDS)

    status = Integer(
        400,
        599,
        metadata={
            "description": "An error in the vendor's format; nothing else is done."
        },
    )
    retry_after = Integer(0, MAX_SECONDS, metadata={"description": "Seconds."})
    latency_ms = Integer(
        1, MAX_LATENCY, metadata={"description": "A delay before anything else."}
    )
    drop_connection = DropConnection(
        metadata={"description": "true drops it before the operation."}
    )
    truncate = Truncate(
        metadata={
            "description": "The number of bytes of the body to send; true sends half."
        }
    )
    malformed = Boolean(
        metadata={"description": "Whether to cut the body so that it does not parse."}
    )


FAULT_RULE = FaultRuleSchema()


def read_fault_rule(raw: Any, operations: Operations) -> FaultRule:
    """Return the fault rule of a mapping.

    :param operations: the operations that a rule can name, by dialect.
    :raises ParametersError: with every problem.
    """
    values, problems = load_valid(FAULT_RULE, raw)
    given = {k: v for k, v in values.items() if v is not None and v is not False}
    problems += check_names(operations, given.get("dialect"), given.get("operation"))
    problems += _check_fields(given, {name for name, _ in problems})
    if problems:
        raise ParametersError(problems)
    return FaultRule(**given)


def read_fault_rules(raws: Any, operations: Operations) -> list[FaultRule]:
    """Return the fault rules of a list of mappings, or of one mapping.

    :raises ParametersError: with every problem and its path, such as ``[0].status``.
    """
    if not isinstance(raws, list):
        return [read_fault_rule(raws, operations)]
    rules: list[FaultRule] = []
    problems: list[Problem] = []
    for i, raw in enumerate(raws):
        try:
            rules.append(read_fault_rule(raw, operations))
        except ParametersError as error:
            problems += error.within(f"[{i}]").problems
    if problems:
        raise ParametersError(problems)
    return rules


def _check_fields(given: Mapping[str, Any], invalid: set[str]) -> Iterator[Problem]:
    """Yield the problems between fields.

    :param invalid: the names of fields that have other problems.
    """
    for name, others in EXCLUDED.items():
        if name in given:
            for other in others:
                if other in given:
                    yield "", f"{other!r} cannot be combined with {name!r}"
    for name, other in REQUIRED.items():
        if name in given and other not in given and other not in invalid:
            yield "", f"{name!r} requires {other!r}"
    if not {"", *EFFECTS} & {*given, *invalid}:
        yield "", f"must have an effect: {', '.join(EFFECTS[:-1])} or {EFFECTS[-1]}"
