"""Marshmallow at the doors: faults named by their place, and the fields all share."""

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.redaction import INVALID_NAME, is_printable_name


class StrictSchema(Schema):
    """A mapping that holds nothing but the fields of its schema."""

    error_messages = {"type": "must be a mapping: names, each with a value"}

    class Meta:
        unknown = RAISE

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        there_are = f"Unknown field: there are {', '.join(self.fields)}"
        self.error_messages = {**self.error_messages, "unknown": there_are}


class Text(fields.Field[str]):
    """Text; a whole number counts as the text that it is written with."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValidationError("must be text: put it in quotes")
        text = str(value)
        if text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text):
            return text
        raise ValidationError("must be text without lone surrogates")


def load(schema: Schema, data: Any) -> dict[str, Any]:
    """Return what *schema* makes of *data*.

    :raises ParametersError: with every fault, each named by its place, as
        ``accounts[0].bounces[3].created``.
    """
    try:
        loaded: dict[str, Any] = schema.load(data)
    except ValidationError as error:
        raise ParametersError(list(_faults(error.messages))) from None
    return loaded


def _faults(messages: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            if not is_printable_name(name):
                yield place, INVALID_NAME
                continue
            yield from _faults(inner, _join(place, name))
    else:
        for text in [messages] if isinstance(messages, str) else messages:
            yield place, text.rstrip(".")


def _join(place: str, name: object) -> str:
    if name == "_schema":
        return place
    if isinstance(name, int):
        return f"{place}[{name}]"
    return f"{place}.{name}" if place else str(name)
