"""Strict marshmallow schemas. Errors name the field, the problem and the value."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.redaction import INVALID_NAME, is_printable_name

#: The path of a value, and the message about it.
Problem = tuple[str, str]

#: The messages of all fields; an argument of marshmallow's own fields.
MESSAGES: dict[str, Any] = {"required": "required", "null": "must not be null"}

#: Texts that a message may repeat. Every vendor's API key is longer.
_SHORT_TEXT = re.compile(r"[\w.:+/ -]{0,19}")

_SURROGATE = re.compile("[\ud800-\udfff]")


class StrictSchema(Schema):
    """A mapping without unknown keys."""

    noun = "field"
    error_messages = {"type": "must be a mapping"}

    class Meta:
        unknown = RAISE

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        known = f" (known: {', '.join(self.fields)})" if self.fields else ""
        message = f"unknown {self.noun}{known}"
        self.error_messages = {**self.error_messages, "unknown": message}


class ParametersSchema(StrictSchema):
    """The parameters of a query string."""

    noun = "parameter"


class Text(fields.Field[str]):
    """Text of *least* to *most* characters; an integer counts as its digits.

    YAML has integers where text is meant, such as the password ``1234``.
    """

    default_error_messages = MESSAGES

    def __init__(self, least: int = 0, most: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.least = least
        self.most = most

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValidationError("must be text (in YAML, in quotes)")
        text = str(value)
        if not text.isascii() and _SURROGATE.search(text):
            raise ValidationError("must not contain lone surrogates")
        if self.most is not None and not self.least <= len(text) <= self.most:
            raise ValidationError(f"must have {self.least} to {self.most} characters")
        return text


class Choice(Text):
    """One of several texts."""

    def __init__(self, choices: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.choices = tuple(choices)

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> str:
        text = super()._deserialize(value, *arguments, **options)
        if text not in self.choices:
            raise ValidationError(must_be_one_of(self.choices, text))
        return text


class Integer(fields.Integer):
    """An integer from *least* to *most*."""

    default_error_messages = MESSAGES

    def __init__(self, least: int, most: int, **options: Any) -> None:
        super().__init__(**options)
        self.least = least
        self.most = most

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        if not is_integer or not self.least <= value <= self.most:
            rule = f"must be an integer from {self.least} to {self.most}"
            raise ValidationError(rule + got(value))
        return int(value)


class Boolean(fields.Boolean):
    """True or false, also as text."""

    default_error_messages = MESSAGES

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> bool:
        try:
            return super()._deserialize(value, *arguments, **options)
        except ValidationError:
            raise ValidationError("must be true or false" + got(value)) from None


def load(schema: Schema, data: Any) -> dict[str, Any]:
    """Return *data*, validated and converted by *schema*.

    :raises ParametersError: with every problem and its path, such as
        ``accounts[0].bounces[3].created``.
    """
    values, problems = load_valid(schema, data)
    if problems:
        raise ParametersError(problems)
    return values


def load_valid(schema: Schema, data: Any) -> tuple[dict[str, Any], list[Problem]]:
    """Return the valid fields of *data*, converted, and the problems."""
    try:
        return schema.load(data), []
    except ValidationError as error:
        valid = error.valid_data if isinstance(error.valid_data, dict) else {}
        return valid, list(_problems(error.messages))


def as_mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the mapping of a JSON object; an ``object_pairs_hook``.

    :raises ParametersError: if a key is repeated.
    """
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        seen: set[str] = set()
        for name, _value in pairs:
            if name in seen:
                raise ParametersError([("", duplicate_key(name))])
            seen.add(name)
    return mapping


def duplicate_key(name: str) -> str:
    """Return the message about a repeated key, which may be a credential."""
    return f"duplicate key {name!r}" if is_printable_name(name) else "duplicate key"


def must_be_one_of(choices: Sequence[str], value: str) -> str:
    """Return the message about a *value* that is not among *choices*."""
    return f"must be one of {', '.join(choices)}{got(value)}"


def got(value: object) -> str:
    """Return ``(got ...)`` for a message, or nothing if *value* should not appear.

    Long values are left out, and with them credentials in the wrong place.
    """
    if isinstance(value, str):
        return f" (got {value!r})" if _SHORT_TEXT.fullmatch(value) else ""
    if value is None or isinstance(value, int | float):
        return f" (got {json.dumps(value)})"
    return ""


def _problems(messages: Any, path: str = "") -> Iterator[Problem]:
    """Yield the problems in marshmallow's nested *messages*."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            if not is_printable_name(name):
                yield path, INVALID_NAME
                continue
            yield from _problems(inner, _join(path, name))
    else:
        for text in [messages] if isinstance(messages, str) else messages:
            yield path, text.rstrip(".")


def _join(path: str, name: object) -> str:
    if name == "_schema":
        return path
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else str(name)
