"""The journal: what is kept of a request, and how credentials are kept out of it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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

#: Text that looks like a credential wherever it stands: the keys of both vendors,
#: headers, and parameters inside what should be a path or a value.
_SECRET_TEXT = re.compile(
    r"""
    (?P<name> (?:key|pass|pwd|secret|token)[\w.\[\]-]* (?:=|:|%(?:25)*3[ad]) \s*
            | \b(?:basic|bearer)\s+ )
    [^&;/\s]+
    | \bSG\.[\w-]{8,}\.[\w-]{8,}
    | \bkey-[0-9a-z]{16,}
    | \b[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that was answered, fit to be read by anybody.

    :param time: the instant of it.
    :param operation: what was asked for; None if that is not known, as the others.
    :param account: who called, or claimed to, or has the domain that is named.
    :param parameters: each name with its value, or with all of them if it came often.
    :param status: None if the connection was dropped.
    :param rows: how many bounces it added, replaced or removed; None if it only read.
    :param fault: the identifier of the rule that fired.
    """

    time: int
    dialect: str
    operation: str | None
    account: str | None
    domain: str | None
    method: str
    path: str
    parameters: Mapping[str, str | list[str]]
    status: int | None
    rows: int | None
    fault: int | None


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries are meant; what is None does not matter.

    :param since: the first instant.
    :param dialect: a dialect, or a vendor.
    """

    account: str | None = None
    domain: str | None = None
    operation: str | None = None
    status: int | None = None
    since: int | None = None
    dialect: str | None = None


class Mask:
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


def is_secret(name: str) -> bool:
    """Return whether a parameter of this name holds a credential."""
    return _SECRET_NAME.search(name) is not None
