"""Check that the values of parsed documents have the types of their fields."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def check_types(value: Any) -> None:
    """Check the fields of a dataclass, or of each one in a list.

    :raises TypeError: if a value does not have the type of its field.
    """
    for item in value if isinstance(value, list) else [value]:
        if is_dataclass(item) and not _has_type(item, type(item)):
            raise TypeError(f"a field of {type(item).__name__} has another type")


def _has_type(value: Any, expected: Any) -> bool:
    """Return whether *value* has the type *expected*, and so have its parts."""
    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (Union, UnionType):
        return any(_has_type(value, each) for each in arguments)
    if origin in (list, tuple):
        return isinstance(value, origin) and all(
            _has_type(item, arguments[0]) for item in value
        )
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            _has_type(item, arguments[1]) for item in value.values()
        )
    if expected in (int, float):
        return isinstance(value, int | expected) and not isinstance(value, bool)
    if not isinstance(value, expected):
        return False
    types = _field_types(expected).items()
    return all(_has_type(getattr(value, name), type_) for name, type_ in types)


@cache
def _field_types(class_: Any) -> dict[str, Any]:
    """Return the types of the fields of a dataclass; nothing for another class."""
    if not is_dataclass(class_):
        return {}
    hints = get_type_hints(class_)
    return {field.name: hints[field.name] for field in fields(class_)}
