"""The schema of a fault rule in requests, seed files and commands."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from marshmallow import ValidationError, fields, missing, validate

from sendgrid_bounces.core.accounts import MAX_NAME
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.faults import FaultRule, check_number
from sendgrid_bounces.schemas.base import (
    MAX_PROBLEMS,
    MESSAGES,
    Problem,
    StrictSchema,
    Text,
    integer,
    length,
    load_valid,
    must_be_one_of,
)

#: The operations of each dialect, by its name.
Operations = Mapping[str, tuple[str, ...]]

#: Longest glob in characters, and longest delay in milliseconds.
MAX_GLOB, MAX_LATENCY = 500, 60_000

#: Longest window and longest Retry-After: a year, in seconds.
MAX_SECONDS = 366 * 24 * 60 * 60

#: Largest count. Every JSON implementation represents it exactly.
MAX_COUNT = 2**53

PROBABILITY_RULE = "must be a number from 0 to 1"

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

    def __init__(self, fold: Callable[[str], str], **options: Any) -> None:
        super().__init__(**options)
        self._fold = fold

    def _deserialize(self, *arguments: Any, **options: Any) -> str:
        return self._fold(super()._deserialize(*arguments, **options))


class DropConnection(fields.Field[str]):
    """``before`` or ``after``; true means before, and false leaves the field out."""

    default_error_messages = MESSAGES
    values = {"true": "before", "before": "before", "after": "after", "false": missing}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        text = str(value).lower() if isinstance(value, str | bool) else ""
        if text not in self.values:
            raise ValidationError("must be true, before or after")
        return self.values[text]


class Truncate(fields.Field[int]):
    """A number of bytes; true means half of them, and false leaves the field out."""

    default_error_messages = MESSAGES
    values = {"true": True, "false": missing}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        text = str(value).lower() if isinstance(value, str | int) else ""
        if text in self.values:
            return self.values[text]
        is_number = text.isascii() and text.isdigit()
        if is_number and len(text) <= len(str(MAX_COUNT)) and int(text) <= MAX_COUNT:
            return int(text)
        raise ValidationError("must be true or a number of bytes")


class Effect(fields.Boolean):
    """True; false leaves the field out."""

    default_error_messages = {**MESSAGES, "invalid": "must be true or false"}

    def _deserialize(self, *arguments: Any, **options: Any) -> Any:
        return super()._deserialize(*arguments, **options) or missing


class FaultRuleSchema(StrictSchema):
    """The fields of :class:`FaultRule`: conditions, then counters, then effects."""

    dialect = Text()
    operation = Text()
    account = Text(validate=length(1, MAX_NAME))
    domain = Folded(str.lower, validate=length(1, MAX_NAME))
    email = Text(
        validate=length(1, MAX_GLOB),
        metadata={"description": "A glob for an address that the request names."},
    )
    method = Folded(str.upper, validate=length(1, 16))
    path = Text(
        validate=length(1, MAX_GLOB),
        metadata={"description": "A glob for the whole path."},
    )

    skip = integer(
        0, MAX_COUNT, metadata={"description": "The first N matches do not trigger."}
    )
    times = integer(
        1, MAX_COUNT, metadata={"description": "At most N matches trigger."}
    )
    probability = fields.Float(
        validate=validate.Range(0, 1, error=PROBABILITY_RULE),
        error_messages={
            **MESSAGES,
            **dict.fromkeys(("invalid", "too_large", "special"), PROBABILITY_RULE),
        },
        metadata={"description": "The share of matches that trigger."},
    )
    seed = integer(
        0, MAX_COUNT, metadata={"description": "Selects the matches that trigger."}
    )
    limit = integer(
        0,
        MAX_COUNT,
        metadata={"description": "Matches after the first N of each window trigger."},
    )
    window_seconds = integer(1, MAX_SECONDS)

    status = integer(
        400,
        599,
        metadata={
            "description": "An error in the vendor's format; nothing else is done."
        },
    )
    retry_after = integer(0, MAX_SECONDS, metadata={"description": "Seconds."})
    latency_ms = integer(
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
    malformed = Effect(
        metadata={"description": "Whether to cut the body so that it does not parse."}
    )


FAULT_RULE = FaultRuleSchema()


def read_fault_rule(raw: Any, operations: Operations) -> FaultRule:
    """Return the fault rule of a mapping.

    :param operations: the operations that a rule can name, by dialect.
    :raises ParametersError: with every problem.
    """
    values, problems = load_valid(FAULT_RULE, raw)
    problems += check_names(operations, values.get("dialect"), values.get("operation"))
    problems += _check_fields(values, problems)
    if problems:
        raise ParametersError(problems)
    return FaultRule(**values)


def read_fault_rules(raws: Any, operations: Operations) -> list[FaultRule]:
    """Return the fault rules of a list of mappings, or of one mapping.

    :raises ParametersError: with every problem and its path, such as ``[0].status``, or
        if there are too many.
    """
    if not isinstance(raws, list):
        return [read_fault_rule(raws, operations)]
    check_number(len(raws))
    rules: list[FaultRule] = []
    problems: list[Problem] = []
    for i, raw in enumerate(raws):
        try:
            rules.append(read_fault_rule(raw, operations))
        except ParametersError as error:
            problems += error.within(f"[{i}]").problems
            if len(problems) >= MAX_PROBLEMS:
                break
    if problems:
        raise ParametersError(problems)
    return rules


def dialect_names(operations: Operations) -> tuple[str, ...]:
    """Return the vendors and the dialects, such as ``mailgun`` and ``mailgun.v3``."""
    vendors: dict[str, list[str]] = {}
    for name in sorted(operations):
        vendors.setdefault(_vendor(name), []).append(name)
    order = dict.fromkeys(_vendor(name) for name in operations)
    return (*order, *(name for vendor in order for name in vendors[vendor]))


def operation_names(operations: Operations) -> tuple[str, ...]:
    """Return the operations of all dialects."""
    return tuple(dict.fromkeys(chain.from_iterable(operations.values())))


def check_names(
    operations: Operations, dialect: str | None, operation: str | None
) -> Iterator[Problem]:
    """Yield the problems of unknown names; None is no problem.

    :param dialect: a dialect or a vendor.
    """
    if dialect is not None:
        names = dialect_names(operations)
        if dialect not in names:
            yield "dialect", must_be_one_of(names, dialect)
            dialect = None
    if operation is not None:
        known: dict[str, None] = {}
        for name, listed in operations.items():
            if dialect is None or dialect in (name, _vendor(name)):
                known.update(dict.fromkeys(listed))
        if operation not in known:
            yield "operation", must_be_one_of([*known], operation)


def _vendor(dialect: str) -> str:
    return dialect.partition(".")[0]


def _check_fields(
    values: Mapping[str, Any], problems: Sequence[Problem]
) -> Iterator[Problem]:
    """Yield the problems between the fields of a rule.

    :param values: the valid fields.
    :param problems: the problems of single fields.
    """
    names = {*values, *dict(problems)}
    for name, others in EXCLUDED.items():
        if name in values:
            for other in others:
                if other in values:
                    yield "", f"{other!r} cannot be combined with {name!r}"
    for name, other in REQUIRED.items():
        if name in values and other not in names:
            yield "", f"{name!r} requires {other!r}"
    if names.isdisjoint(("", *EFFECTS)):
        *names_of_effects, last = map(repr, EFFECTS)
        yield "", f"must have an effect: {', '.join(names_of_effects)} or {last}"
