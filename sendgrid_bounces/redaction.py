"""Credentials: how they are known, and kept out of the journal and the logs."""

import re
from collections.abc import Iterable

#: How long a text may be, and how many parameters are kept.
MAX_TEXT, MAX_PARAMETERS = 500, 100

#: How much of a text is looked at, and how long what looks like a key can be.
WINDOW, LONGEST = 2 * MAX_TEXT, 100

MASK = "***"

#: A shorter credential also stands in other texts by chance.
SHORTEST = 6

#: Names of parameters that hold credentials.
_SECRET_NAME = re.compile(
    "key|pass|pwd|secret|token|auth|credential|signature|cookie|session", re.IGNORECASE
)

#: What names of fields and settings look like.
_NAME = re.compile("[A-Za-z0-9_-]{1,40}")

#: What is said of another one.
INVALID_NAME = "has a name that is none: is a blank missing after a colon?"

#: What the vendors' keys look like.
_KEY = r"""
    \bSG\.[\w-]{8,}\.[\w-]{8,}
    | \bkey-[0-9a-z]{16,}
    | \b[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}\b
"""

#: Text that looks like a credential wherever it stands: keys, headers, and parameters
#: inside what should be a path or a value.
_SECRET_TEXT = re.compile(
    rf"""
    (?P<name> (?:key|pass|pwd|secret|token)[\w.\[\]-]* (?:=|:|%(?:25)*3[ad]) \s*
            | \b(?:basic|bearer)\s+ )
    [^&;/\s]+
    | {_KEY}
    """,
    re.IGNORECASE | re.VERBOSE,
)
_KEYS = re.compile(_KEY, re.IGNORECASE | re.VERBOSE)


class Redactor:
    """Keeps credentials out of texts.

    :param secrets: credentials that are known, to be found inside other texts.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {secret for secret in secrets if len(secret) >= SHORTEST}
        self._secrets = sorted(known, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return *text* without credentials or what looks like them, cut short."""
        shown = text[:WINDOW]
        for secret in self._secrets:
            shown = shown.replace(secret, MASK)
        shown = _SECRET_TEXT.sub(lambda match: (match["name"] or "") + MASK, shown)
        if len(text) > WINDOW:  # a credential may lie across the end
            shown = shown[: -max(map(len, self._secrets), default=LONGEST) - LONGEST]
        is_whole = len(text) <= WINDOW and len(shown) <= MAX_TEXT
        return shown if is_whole else shown[: MAX_TEXT - 1] + "…"

    def parameters(
        self, pairs: Iterable[tuple[str, str]]
    ) -> dict[str, str | list[str]]:
        """Return *pairs* by name, masked, and not too many."""
        kept: dict[str, list[str]] = {}
        for name, value in list(pairs)[:MAX_PARAMETERS]:
            shown = MASK if is_secret(name) and value else self.text(value)
            kept.setdefault(self.text(name), []).append(shown)
        return {
            name: values[0] if len(values) == 1 else values
            for name, values in kept.items()
        }


def is_printable_name(name: object) -> bool:
    """Return whether a name that somebody wrote looks like one, and can be told.

    One that does not may be a credential: a blank is missing after a colon.
    """
    return _NAME.fullmatch(str(name)) is not None


def is_secret(name: str) -> bool:
    """Return whether a parameter of this name holds a credential."""
    return _SECRET_NAME.search(name) is not None


def without_keys(text: str) -> str:
    """Return *text*, in which what looks like a vendor's key is masked."""
    return _KEYS.sub(MASK, text)
