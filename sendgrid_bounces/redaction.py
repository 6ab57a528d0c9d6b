"""Redaction of credentials in logs, in the request log and in error messages."""

import re
from collections.abc import Iterable
from copy import copy
from itertools import islice

#: Characters kept of a text, and parameters kept of a request.
MAX_TEXT, MAX_PARAMETERS = 500, 100

#: Characters of a text that are searched for credentials.
SEARCHED = 2 * MAX_TEXT

#: Length of the longest key that is recognized by its form.
MAX_KEY = 100

#: Length of the shortest secret that is searched for; shorter ones occur by chance.
MIN_SECRET = 6

#: Secrets that are searched for, at most, so that a request cannot take long to redact.
MAX_SECRETS = 1_000

MASK = "***"

#: Message for an invalid field name, which may be a credential: "api_key:secret" is one
#: name in YAML.
INVALID_NAME = "invalid key (missing space after the colon?)"

_PRINTABLE_NAME = re.compile("[A-Za-z0-9_-]{1,40}")

#: Names of parameters and headers that hold credentials.
_SECRET_NAME = re.compile(
    "key|pass|pwd|secret|token|auth|credential|signature|cookie|session", re.IGNORECASE
)

#: The same for names in free text, where more words would redact ordinary sentences.
_SECRET_WORD = re.compile("key|pass|pwd|secret|token", re.IGNORECASE)
_SCHEME = re.compile(r"\b(?:basic|bearer)\Z", re.IGNORECASE)
_SUSPICIOUS = re.compile(f"{_SECRET_WORD.pattern}|basic|bearer", re.IGNORECASE)

#: A name, and the separator before its value if there is one, however often encoded.
#: Names are matched whole and one after the other, which takes linear time.
_NAME = re.compile(
    r"(?P<name>[\w.\[\]-]+)(?:(?P<equals>(?:[=:]|%(?:25)*3[ad])\s*)|(?P<space>\s+))?",
    re.IGNORECASE,
)
_VALUE = re.compile(r"[^&;/\s]+")
_CREDENTIALS = re.compile(r"[^&;\s]+")


class Redactor:
    """Replaces credentials in text.

    :param key_patterns: regular expressions of the vendors' API keys. They must match
        in linear time; letter case does not matter.
    :param secrets: known credentials, which are replaced wherever they occur.
    """

    def __init__(
        self, key_patterns: Iterable[str] = (), secrets: Iterable[str] = ()
    ) -> None:
        distinct = dict.fromkeys(filter(None, key_patterns))
        alternatives = "|".join(f"(?:{pattern})" for pattern in distinct)
        self._keys = re.compile(alternatives or "(?!)", re.IGNORECASE)
        self._secrets = _longest_first(secrets)

    def with_secrets(self, secrets: Iterable[str]) -> "Redactor":
        """Return a redactor with the same key patterns for other *secrets*."""
        redactor = copy(self)
        redactor._secrets = _longest_first(secrets)  # noqa: SLF001 - of the same class
        return redactor

    def redact(self, text: str) -> str:
        """Return *text* without credentials, in at most ``MAX_TEXT`` characters."""
        shown = text[:SEARCHED]
        for secret in self._secrets:
            shown = shown.replace(secret, MASK)
        if _SUSPICIOUS.search(shown):
            shown = _redact_values(shown)
        shown = self._keys.sub(MASK, shown)
        if len(text) > SEARCHED:  # the end may be the beginning of a credential
            longest = max(map(len, self._secrets), default=MAX_KEY)
            shown = shown[: -longest - MAX_KEY]
        is_whole = len(text) <= SEARCHED and len(shown) <= MAX_TEXT
        return shown if is_whole else shown[: MAX_TEXT - 1] + "…"

    def redact_keys(self, text: str) -> str:
        """Return *text* without API keys of a vendor's form."""
        return self._keys.sub(MASK, text)

    def redact_parameters(
        self, pairs: Iterable[tuple[str, str]]
    ) -> dict[str, str | list[str]]:
        """Return the first ``MAX_PARAMETERS`` of *pairs* by name, without credentials.

        The value of a name that occurs several times is a list.
        """
        values: dict[str, list[str]] = {}
        for name, value in islice(pairs, MAX_PARAMETERS):
            is_hidden = value and _SECRET_NAME.search(name)
            shown = MASK if is_hidden else self.redact(value)
            values.setdefault(self.redact(name), []).append(shown)
        return {
            name: found[0] if len(found) == 1 else found
            for name, found in values.items()
        }


def is_printable_name(name: object) -> bool:
    """Return whether an invalid field name is safe to repeat in an error message.

    Other names may contain a credential; see ``INVALID_NAME``.
    """
    return _PRINTABLE_NAME.fullmatch(str(name)) is not None


def is_secret(name: str) -> bool:
    """Return whether a parameter or header of this name holds a credential."""
    return _SECRET_NAME.search(name) is not None


def find_secrets(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return the values of the parameters whose names mark credentials."""
    return [value for name, value in pairs if _SECRET_NAME.search(name)]


def _longest_first(secrets: Iterable[str]) -> list[str]:
    """Return the secrets to search for; one may be a part of another one."""
    distinct = {secret: None for secret in secrets if len(secret) >= MIN_SECRET}
    return sorted(islice(distinct, MAX_SECRETS), key=len, reverse=True)


def _redact_values(text: str) -> str:
    """Return *text* without values that follow a secret name or an HTTP scheme."""
    pieces, position = [], 0
    while match := _NAME.search(text, position):
        value = _find_value(match)
        end = match.end() if value is None else value.start()
        pieces.append(text[position:end])
        position = end
        if value is not None:
            pieces.append(MASK)
            position = value.end()
    return "".join((*pieces, text[position:]))


def _find_value(match: re.Match[str]) -> re.Match[str] | None:
    """Return the credential that follows the name in *match*, or None."""
    if match["equals"] and _SECRET_WORD.search(match["name"]):
        return _VALUE.match(match.string, match.end())
    if match["space"] and _SCHEME.search(match["name"]):
        return _CREDENTIALS.match(match.string, match.end())
    return None
