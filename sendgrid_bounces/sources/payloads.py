"""Reading JSON payloads."""

import json
import re
from collections.abc import Mapping
from typing import Any

from sendgrid_bounces.core.json_limits import MAX_VALUES, has_too_many_values
from sendgrid_bounces.sources.verification import PayloadError

#: Events that a request may have. SendGrid sends at most a few thousand.
MAX_EVENTS = 10_000

#: Characters of a text that are read. Bodies of Amazon SES, in which a notification is
#: one text, are no longer.
MAX_TEXT = 1024 * 1024

#: Half of a character, as JSON can escape it. Text with one cannot be encoded.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def load_json(body: bytes | str) -> Any:
    """Return the JSON value of *body*.

    :raises PayloadError: if *body* is not JSON, nested too deeply, or has too many
        values.
    """
    encoded = body.encode(errors="replace") if isinstance(body, str) else body
    if has_too_many_values(encoded):
        raise PayloadError(f"the JSON has more than {MAX_VALUES} values")
    try:
        return json.loads(body)
    except RecursionError:
        raise PayloadError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise PayloadError(f"the body is not valid JSON: {error}") from None


def load_object(body: bytes | str) -> dict[str, Any]:
    """Return the JSON object of *body*.

    :raises PayloadError: if *body* is not a JSON object.
    """
    value = load_json(body)
    if not isinstance(value, dict):
        raise PayloadError("the body must be a JSON object")
    return value


def text(mapping: Mapping[str, Any], *names: str) -> str:
    """Return the first non-empty text or number among the fields *names*, as text.

    The text has question marks for halves of characters, and :data:`MAX_TEXT`
    characters at most.
    """
    for name in names:
        value = mapping.get(name)
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, str) and value:
            return _LONE_SURROGATE.sub("?", value[:MAX_TEXT])
    return ""


def section(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object in field *name*, or an empty object."""
    value = mapping.get(name)
    return value if isinstance(value, dict) else {}
