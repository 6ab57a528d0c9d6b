"""A fault rule as people write it down: in requests, seed files and commands."""

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate
from marshmallow.decorators import validates_schema

from sendgrid_bounces.core.accounts import MAX_NAME
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.faults import FaultRule
from sendgrid_bounces.schemas.base import StrictSchema, Text, load

#: What each dialect calls its operations.
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "sendgrid.direct": ("get", "delete", "count"),
    "sendgrid.reseller": ("get", "delete"),
    "mailgun.v2": ("list", "add", "find", "remove"),
    "mailgun.v3": ("list", "add", "find", "remove", "clear", "import"),
}
VENDORS = tuple(dict.fromkeys(name.partition(".")[0] for name in OPERATIONS))

#: The longest glob, and the longest pause.
MAX_GLOB, MAX_LATENCY = 500, 60_000

#: A year, in seconds; the longest window, and what a client can be told to wait.
MAX_SECONDS = 366 * 24 * 60 * 60

MAX_INTEGER = 2**53

EFFECTS = (
    "status",
    "latency_ms",
    "drop_connection",
    "truncate",
    "malformed",
    "limit",
)

#: What a field cannot stand beside.
EXCLUDED: Mapping[str, tuple[str, ...]] = {
    "probability": ("times",),
    "limit": (
        *("times", "skip", "probability", "retry_after"),
        *("drop_connection", "truncate", "malformed"),
    ),
    "drop_connection": ("status", "retry_after", "truncate", "malformed"),
    "truncate": ("malformed",),
}

#: What a field means nothing without.
NEEDED: Mapping[str, str] = {
    "limit": "window_seconds",
    "window_seconds": "limit",
    "seed": "probability",
    "retry_after": "status",
}


class Folded(Text):
    """Text in which letter case does not matter: it is kept as *fold* writes it."""

    def __init__(self, fold: Callable[[str], str], most: int) -> None:
        super().__init__(validate=_length(most))
        self._fold = fold

    def _deserialize(self, *arguments: Any, **options: Any) -> str:
        return self._fold(super()._deserialize(*arguments, **options))


class Drop(fields.Field[str]):
    """``before`` or ``after``; true means before, and false nothing."""

    words = {"true": "before", "before": "before", "after": "after", "false": None}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        render = str(value).lower() if isinstance(value, str | bool) else ""
        if render not in self.words:
            raise ValidationError("must be true, before or after")
        return self.words[render]


class Kept(fields.Field[int]):
    """A number of bytes; true means half of them, and false that nothing is cut."""

    words = {"true": True, "false": None}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        text = str(value).lower() if isinstance(value, str | int) else ""
        if text in self.words:
            return self.words[text]
        if text.isascii() and text.isdigit() and int(text[:20]) <= MAX_INTEGER:
            return int(text)
        raise ValidationError("must be true, or how many bytes are sent")


def _whole(least: int, most: int) -> fields.Integer:
    rule = f"must be a whole number of {least} to {most}"
    return fields.Integer(
        strict=True,
        validate=validate.Range(least, most, error=rule),
        error_messages={"invalid": rule, "too_large": rule},
    )


def _length(most: int) -> validate.Length:
    return validate.Length(1, most, error=f"must have 1 to {most} characters")


def _text(most: int) -> Text:
    return Text(validate=_length(most))


class FaultRuleSchema(StrictSchema):
    """A rule; its fields are those of :class:`Rule`."""

    dialect = Text(validate=validate.OneOf([*VENDORS, *OPERATIONS]))
    operation = Text()
    account = _text(MAX_NAME)
    domain = Folded(str.lower, MAX_NAME)
    email = _text(MAX_GLOB)
    method = Folded(str.upper, 16)
    path = _text(MAX_GLOB)
    skip = _whole(0, MAX_INTEGER)
    times = _whole(1, MAX_INTEGER)
    probability = fields.Float(
        validate=validate.Range(0, 1, error="must be a number of 0 to 1")
    )
    seed = _whole(0, MAX_INTEGER)
    limit = _whole(0, MAX_INTEGER)
    window_seconds = _whole(1, MAX_SECONDS)
    status = _whole(400, 599)
    retry_after = _whole(0, MAX_SECONDS)
    latency_ms = _whole(1, MAX_LATENCY)
    drop_connection = Drop()
    truncate = Kept()
    malformed = fields.Boolean()

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _check(self, data: dict[str, Any], original: Any, **_: Any) -> None:
        given = _given(data)
        faults = {
            name: f"cannot stand beside {others}"
            for name, excluded in EXCLUDED.items()
            if name in given
            and (others := ", ".join(n for n in excluded if n in given))
        }
        for name, needed in NEEDED.items():
            if name in given and needed not in given and name not in faults:
                faults[name] = f"means nothing without {needed}"
        known = operations(data.get("dialect"))
        if "operation" in data and data["operation"] not in known:
            faults["operation"] = f"must be one of: {', '.join(known)}"
        if faults:
            raise ValidationError({name: [text] for name, text in faults.items()})
        wrong = {*original} - {*data} if isinstance(original, dict) else {*EFFECTS}
        if not {*EFFECTS} & {*given, *wrong}:  # a wrong one is told of already
            raise ValidationError(f"needs an effect: one of {', '.join(EFFECTS)}")


FAULT_RULE = FaultRuleSchema()


def operations(dialect: str | None) -> list[str]:
    """Return the operations of the dialect, of all of a vendor's, or of all."""
    prefix = dialect or ""
    names = [
        operation
        for name, listed in OPERATIONS.items()
        if not prefix or prefix in (name, name.partition(".")[0])
        for operation in listed
    ]
    return list(dict.fromkeys(names))


def read_fault_rule(raw: Any) -> FaultRule:
    """Return the rule that the mapping *raw* describes.

    :raises ParametersError: naming each field that is wrong.
    """
    return FaultRule(**_given(load(FAULT_RULE, raw)))


def read_fault_rules(raws: Any) -> list[FaultRule]:
    """Return the rules that the list *raws* describes, or the one that it is itself.

    :raises ParametersError: naming each field that is wrong, as ``[0].status``.
    """
    if not isinstance(raws, list):
        return [read_fault_rule(raws)]
    rules: list[FaultRule] = []
    faults: list[tuple[str, str]] = []
    for i, raw in enumerate(raws):
        try:
            rules.append(read_fault_rule(raw))
        except ParametersError as error:
            faults += error.within(f"[{i}]").problems
    if faults:
        raise ParametersError(faults)
    return rules


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Return what of *values* says something: false is as good as nothing."""
    return {k: v for k, v in values.items() if v is not None and v is not False}
