"""Strict marshmallow schemas. Errors name the field, the problem and the value."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.messages import GOT, got
from sendgrid_bounces.redaction import INVALID_NAME, is_printable_name, is_secret

#: The path of a value, and the message about it.
Problem = tuple[str, str]

#: Problems after which no further elements of a list are read.
MAX_PROBLEMS = 100

#: Names that a mapping may have. A schema has fewer fields.
MAX_NAMES = 100

#: The first problems, for which a similar name is searched.
MAX_SUGGESTIONS = 20

#: The messages of all fields; an argument of marshmallow's own fields.
MESSAGES: dict[str, Any] = {"required": "required", "null": "must not be null"}

#: The first word of the message about an unknown key.
UNKNOWN = "unknown"

#: The message about an unknown name, and the known names in it.
_UNKNOWN_NAME = re.compile(rf"({UNKNOWN} \w+) \(known: (.+)\)")

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
        message = f"{UNKNOWN} {self.noun}{known}"
        self.error_messages = {**self.error_messages, "unknown": message}

    def load(self, data: Any, **options: Any) -> Any:
        """Return *data*, converted.

        :raises ValidationError: if a value is invalid, or if there are too many names.
        """
        if isinstance(data, Mapping) and len(data) > MAX_NAMES:
            raise ValidationError(f"must have at most {MAX_NAMES} {self.noun}s")
        return super().load(data, **options)


class ParametersSchema(StrictSchema):
    """The parameters of a query string."""

    noun = "parameter"


class Text(fields.Field[str]):
    """Text; an integer counts as its digits.

    YAML has integers where text is meant, such as the password ``1234``.
    """

    default_error_messages = MESSAGES

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValidationError("must be text (in YAML, in quotes)")
        text = str(value)
        if not text.isascii() and _SURROGATE.search(text):
            raise ValidationError("must not contain lone surrogates")
        return text


class List(fields.List[Any]):
    """A list, which is read until there are :data:`MAX_PROBLEMS` invalid elements."""

    default_error_messages = {**MESSAGES, "invalid": "must be a list"}

    def _deserialize(self, value: Any, *_: Any, **options: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        loaded: list[Any] = []
        errors: dict[int, Any] = {}
        for index, element in enumerate(value):
            try:
                loaded.append(self.inner.deserialize(element, **options))
            except ValidationError as error:
                errors[index] = error.messages
                if len(errors) == MAX_PROBLEMS:
                    break
        if errors:
            raise ValidationError(errors)
        return loaded


def length(least: int, most: int) -> validate.Length:
    """Return a validator of the number of characters."""
    return validate.Length(least, most, error=f"must have {least} to {most} characters")


def one_of(choices: Sequence[str]) -> validate.OneOf:
    """Return a validator of a text."""
    return validate.OneOf(choices, error=f"must be one of {', '.join(choices)}")


def integer(
    least: int, most: int, *, strict: bool = True, **options: Any
) -> fields.Integer:
    """Return a field for an integer from *least* to *most*.

    :param strict: whether to reject text, which query strings have.
    """
    rule = f"must be an integer from {least} to {most}"
    return fields.Integer(
        strict=strict,
        validate=validate.Range(least, most, error=rule),
        error_messages={**MESSAGES, "invalid": rule, "too_large": rule},
        **options,
    )


def load(schema: Schema, data: Any) -> dict[str, Any]:
    """Return *data*, validated and converted by *schema*.

    :raises ParametersError: with every problem and its path, such as
        ``accounts[0].bounces[3].created``.
    """
    try:
        loaded: dict[str, Any] = schema.load(data)
    except ValidationError as error:
        raise ParametersError(list(_problems(schema, error, data))) from None
    return loaded


def load_valid(schema: Schema, data: Any) -> tuple[dict[str, Any], list[Problem]]:
    """Return the valid fields of *data*, converted, and the problems."""
    try:
        return schema.load(data), []
    except ValidationError as error:
        valid = error.valid_data if isinstance(error.valid_data, dict) else {}
        return valid, list(_problems(schema, error, data))


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


def _problems(schema: Schema, error: ValidationError, data: Any) -> Iterator[Problem]:
    """Yield the problems in marshmallow's nested messages.

    Messages of a strict schema get the value; other schemas have a vendor's messages.
    """
    for number, (path, text, value) in enumerate(_leaves(error.messages, data)):
        is_shown = (
            isinstance(schema, StrictSchema)
            and value is not None
            and not text.startswith(UNKNOWN)
            and GOT not in text
            and not is_secret(path.rpartition(".")[2])
        )
        message = text.rstrip(".")
        if number < MAX_SUGGESTIONS:
            message = _with_suggestion(path, message)
        yield path, message + (got(value) if is_shown else "")


def _with_suggestion(path: str, message: str) -> str:
    """Return *message*, with the most similar known name if it rejects a name.

    Marshmallow's message is the same for all names, and lists the known names.
    """
    if match := _UNKNOWN_NAME.fullmatch(message):
        name = path.rpartition(".")[2]
        if close := get_close_matches(name, match[2].split(", "), 1):
            return f"{match[1]} (did you mean {close[0]}?)"
    return message


def _leaves(
    messages: Any, data: Any, path: str = ""
) -> Iterator[tuple[str, str, object]]:
    """Yield path and text of each message; and the value, None if it is unknown."""
    if not isinstance(messages, Mapping):
        for text in [messages] if isinstance(messages, str) else messages:
            yield path, text, data
        return
    for name, inner in messages.items():
        if not is_printable_name(name):
            yield path, INVALID_NAME, None
        elif name == "_schema":
            yield from _leaves(inner, None, path)
        elif isinstance(name, int):
            value = data[name] if isinstance(data, list) else None
            yield from _leaves(inner, value, f"{path}[{name}]")
        else:
            value = data.get(name) if isinstance(data, Mapping) else None
            yield from _leaves(inner, value, f"{path}.{name}" if path else str(name))
