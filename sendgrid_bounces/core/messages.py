"""Parts of messages for people."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

#: Texts that a message may repeat: short ones, and times. Every vendor's API key is
#: longer, and has letters.
_SHORT_TEXT = re.compile(r"[\w.:+/ -]{0,19}|[0-9TZ.:+/ -]{0,40}(?: UTC)?")

#: Characters that a terminal obeys, that end a line, or that reverse text.
_CONTROL_CHARACTER = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

#: The mark of a message that has the value already.
GOT = " (got "


def got(value: object) -> str:
    """Return ``(got ...)`` for a message, or nothing if *value* should not appear.

    Long values are left out, and with them credentials in the wrong place.
    """
    if not isinstance(value, str | int | float):
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    if not _SHORT_TEXT.fullmatch(text):
        return ""
    return f"{GOT}{value!r})" if isinstance(value, str) else f"{GOT}{text})"


def printable(text: str) -> str:
    """Return *text* as one line with its control characters escaped.

    So are surrogates, which cannot be encoded.
    """
    return _CONTROL_CHARACTER.sub(lambda match: repr(match[0])[1:-1], text)


def printable_lines(text: str) -> str:
    """Return *text* with the control characters of its lines escaped."""
    return "\n".join(map(printable, text.split("\n")))


def suggest(name: str, known: Iterable[str], label: str = "known") -> str:
    """Return ``did you mean ...?``, or all *known* names if none is similar."""
    names = [*known]
    close = get_close_matches(name, names, 1)
    return f"did you mean {close[0]}?" if close else f"{label}: {', '.join(names)}"


def pluralize(number: int, noun: str) -> str:
    """Return *number* and *noun*, such as ``1 account`` or ``1,204 bounces``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def count_nouns(numbers: Mapping[str, int]) -> list[str]:
    """Return texts such as ``1 account`` for *numbers* by noun."""
    return [pluralize(number, noun) for noun, number in numbers.items()]


def join_words(words: Sequence[str]) -> str:
    """Return *words* as ``one, two and three``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
