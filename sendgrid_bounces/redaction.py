"""Redaction of credentials in logs, in the request log and in error messages."""

import json
import re
from base64 import b64decode
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from html import escape
from itertools import accumulate, islice, takewhile
from urllib.parse import unquote, unquote_plus

#: Characters kept of a text, and parameters kept of a request.
MAX_TEXT, MAX_SHOWN_PARAMETERS = 500, 100

#: Characters kept of the names and values of a request together.
MAX_SHOWN_TEXT = 8_192

#: What stands for text that is left out, and for parameters as a name and a value.
ELLIPSIS = "…"

#: Characters kept of the body of a response.
MAX_SHOWN_BODY = 4096

#: Length of the longest key that is recognized by its form.
MAX_KEY = 100

#: Length of the shortest secret that is searched for, since shorter ones occur by
#: chance, and of the longest one: no text that is searched is longer.
MIN_SECRET, MAX_SECRET = 6, 16_384

#: Length of a name without a value that is taken for a secret, even without a digit.
MIN_LONG_NAME = 20

#: Length of the longest name with a value that may be shown.
MAX_NAME = 100

#: Last words of a name that may have a typing error.
MAX_WORDS = 6

#: Secrets that are searched for, and the characters together of those that a parameter
#: can contain. A request with more of them takes long to redact, so all of its texts
#: are masked.
MAX_SECRETS, MAX_SECRET_TEXT = 20, 2_048

MASK = "***"

#: Message for an invalid field name, which may be a credential: "api_key:secret" is one
#: name in YAML.
INVALID_NAME = "invalid key (missing space after the colon?)"

#: Secrets that are written alike everywhere.
_PLAIN_SECRET = re.compile(r"[A-Za-z0-9_.~:+/=@,!$*;^|()\[\]{} -]*")

#: Words before the credential in a header field.
_SCHEMES = ("basic", "bearer")

#: A header field: its first word, blanks, and the rest. A single word is the rest.
_FIELD_PARTS = re.compile(
    r"(basic|bearer|[^ \t]+(?=[ \t])|)([ \t]*)(.*)", re.DOTALL | re.IGNORECASE
)

_BASE64 = re.compile("[A-Za-z0-9+/]*")

_PRINTABLE_NAME = re.compile("[A-Za-z0-9_-]{1,40}")

#: The names of parameters, if none of them contains a name with its value.
_PLAIN_NAMES = re.compile(r"[A-Za-z0-9_.\[\] -]*")

#: The name and the value of a parameter.
Parameter = tuple[str, str]

#: Names of parameters and headers that hold credentials.
_SECRET_NAME = re.compile(
    r"key|pass|pwd|secret|token|auth|credential|signature|cookie|session|\A(api|sig)\Z",
    re.IGNORECASE,
)

#: The same for names in free text, where more words would redact ordinary sentences.
_SECRET_WORD = re.compile("key|pass|pwd|secret|token", re.IGNORECASE)

#: The same for names of header fields: proxies add some with names, such as
#: ``X-Auth-Request-Email``.
SECRET_FIELD = re.compile(
    "authorization|credential|key|pass|pwd|secret|token|signature", re.IGNORECASE
)
_SCHEME = re.compile(r"\b(?:basic|bearer)\Z", re.IGNORECASE)
_SUSPICIOUS = ("key", "pass", "pwd", "secret", "token", "basic", "bearer")

#: Words of the names of credentials, which count with one typing error, too.
_SECRET_WORDS = ("key", "apikey", "pass", "passwd", "password", "secret", "token")
_SEPARATORS = re.compile(r"[\W_]+")

#: From the alphabet of Base64 for URLs to the ordinary one.
_FROM_URL_SAFE = str.maketrans("-_", "+/")

#: Quotation marks and control characters, and the table that makes them blanks.
_QUOTES = "".join(map(chr, (*range(32), 127))) + "\"'"
_UNQUOTED = dict.fromkeys(map(ord, _QUOTES), " ")

#: Characters around a credential that are not a part of it: line ends, quotation marks,
#: brackets and separators.
_AROUND = _QUOTES + " `<>()[]{}:=,;"

#: Header fields of one name, which servers join by commas, that are searched.
_MAX_FIELDS = 4

#: Characters between a name and its value in a mistyped parameter.
_SIGNS = "=: "

#: Characters between the words of a header field with credentials.
_FIELD_SEPARATORS = re.compile(r"[\s,;:=\"]+")

#: The name of a credential at the beginning of a name without a value, which may be the
#: rest of it.
_NAME_OF_SECRET = re.compile(
    r".*?(?:key|password|passwd|pass|pwd|secret|token)(?:\[\])?",
    re.IGNORECASE | re.DOTALL,
)

#: Values of a parameter without a value, and of a name that ends in "=" as Base64 does.
_NO_VALUES = frozenset(("", "=", "=="))

#: A name, and the separator before its value if there is one, however often encoded. In
#: JSON, a quotation mark follows the name.
#: Names are matched whole and one after the other, which takes linear time.
_NAME = re.compile(
    r"(?P<name>[\w.\[\]-]+)"
    r"(?:(?P<equals>\\*[\"']?\s*(?:[=:]|%(?:25)*3[ad])\s*)|(?P<space>\s+))?",
    re.IGNORECASE,
)
_VALUE = re.compile(r"[^&;/\s]+")
_CREDENTIALS = re.compile(r"[^&;\s]+")

#: The user name and the password in a URL. A decoded password can have blanks.
USERINFO = re.compile(r"//(?:[^/?#\s]*|[^/?#\s:]*:[^/?#\r\n]*)@")

#: A part of a text that is masked if it has a credential in percent-encoded form.
_WORD = re.compile(r"[^\s?&]+")

#: Times that text is percent-decoded in search of credentials, and percent escapes up
#: to which each word of a text is decoded on its own.
_DECODINGS, MAX_ESCAPES = 3, 100


class Redactor:
    """Replaces credentials in text.

    :param key_patterns: regular expressions of the vendors' API keys. They must match
        in linear time; letter case does not matter.
    :param key_hints: regular expressions, one of which matches a part of each API key
        in lower case. They begin with literal text, for which Python searches quickly.
        None to search for the API keys themselves.
    :param secrets: known credentials, which are replaced wherever they occur.
    """

    def __init__(
        self,
        key_patterns: Iterable[str] = (),
        secrets: Iterable[str] = (),
        *,
        key_hints: Iterable[str] | None = None,
    ) -> None:
        distinct = dict.fromkeys(filter(None, key_patterns))
        alternatives = "|".join(f"(?:{pattern})" for pattern in distinct)
        self._keys = re.compile(alternatives or "(?!)", re.IGNORECASE)
        self._hints: tuple[re.Pattern[str], ...] = (self._keys,)
        if key_hints is not None:
            self._hints = tuple(map(re.compile, dict.fromkeys(key_hints)))
        self._secrets, self._masks_all = _longest_first(secrets)

    def with_secrets(self, secrets: Iterable[str]) -> "Redactor":
        """Return a redactor with the same key patterns for other *secrets*."""
        redactor = Redactor.__new__(Redactor)
        redactor._keys, redactor._hints = self._keys, self._hints  # noqa: SLF001 - of the same class
        found = _longest_first(secrets)
        redactor._secrets, redactor._masks_all = found  # noqa: SLF001 - of the same class
        return redactor

    def redact_request(
        self, parameters: Sequence[Parameter], texts: Sequence[str], body: str
    ) -> tuple[dict[str, str | list[str]], list[str], str]:
        """Return the parameters, other texts and the body without credentials.

        All are searched at once, since few requests have a credential elsewhere than in
        a parameter with the name of one.

        :param body: the beginning of the response, of which :data:`MAX_SHOWN_BODY`
            characters are kept.
        """
        shown = parameters[:MAX_SHOWN_PARAMETERS]
        keys, given = zip(*shown, strict=True) if shown else ((), ())
        names = " ".join(keys)
        if len(names) <= MAX_SHOWN_BODY and _PLAIN_NAMES.fullmatch(names):
            masked = [(n, MASK if v and is_secret(n) else v) for n, v in shown]
            values = [*texts, *[value for _, value in masked]]
            if (
                max(map(len, values)) <= MAX_TEXT
                and sum(map(len, (names, *values))) <= MAX_SHOWN_TEXT
                and _NO_VALUES.isdisjoint(given)
                and self._is_clean("\n".join((*values, body)), names)
            ):
                return _group(masked), list(texts), shorten(body, MAX_SHOWN_BODY)
        return (
            self.redact_parameters(parameters),
            [self.redact(text) for text in texts],
            self.redact(body, MAX_SHOWN_BODY),
        )

    def _is_clean(self, text: str, names: str) -> bool:
        """Return whether *text*, and *names* without values, have no credentials."""
        if "%" in text or "+" in text:
            text = "\n".join((text, *decodings(text)))
        if self._masks_all or _is_suspicious(text):
            return False
        every = f"{text}\n{names}".casefold()
        if self._secrets and any(map(every.__contains__, self._secrets)):
            return False
        return not [hint for hint in self._hints if hint.search(every)]

    def redact(self, text: str, most: int = MAX_TEXT) -> str:
        """Return *text* without credentials, in at most *most* characters.

        Twice as many are searched for credentials, and longer text is cut.
        """
        shown = self.redact_text(text[: 2 * most])
        if len(text) > 2 * most:  # the end may be the beginning of a credential
            longest = max(map(len, self._secrets), default=MAX_KEY)
            shown = shown[: -longest - MAX_KEY]
            return f"{shown[: most - 1]}{ELLIPSIS}"
        return shorten(shown, most)

    def redact_text(self, text: str) -> str:
        """Return *text* of any length without credentials.

        A word with a credential in percent-encoded form is masked completely, or the
        whole text if it has many escapes.
        """
        shown = self.redact_decoded(text)
        if all(self.redact_decoded(decoded) == decoded for decoded in decodings(shown)):
            return shown
        if shown.count("%") + shown.count("+") > MAX_ESCAPES:
            return MASK
        return _WORD.sub(self._redact_encoded, shown)

    def redact_decoded(self, text: str) -> str:
        """Return *text* without credentials that are not percent-encoded."""
        shown = self._redact_secrets(text)
        if _is_suspicious(shown):
            shown = _redact_values(USERINFO.sub(f"//{MASK}@", shown))
        return self._keys.sub(MASK, shown)

    def _redact_encoded(self, word: re.Match[str]) -> str:
        is_secret = any(self.redact_decoded(d) != d for d in decodings(word[0]))
        return MASK if is_secret else word[0]

    def redact_known(self, text: str) -> str:
        """Return *text* without the known credentials and the vendors' API keys."""
        return self._keys.sub(MASK, self._redact_secrets(text))

    def redact_parameters(
        self, pairs: Iterable[Parameter]
    ) -> dict[str, str | list[str]]:
        """Return *pairs* by name, without credentials.

        At most ``MAX_SHOWN_PARAMETERS`` are kept, of ``MAX_SHOWN_TEXT`` characters. The
        value of a name that occurs several times is a list.
        """
        return _group(
            [
                (self.redact(redact_name(name, value)), self._redact_value(name, value))
                for name, value in _first(pairs)
            ]
        )

    def _redact_value(self, name: str, value: str) -> str:
        is_marked = len(name) > MAX_NAME or is_secret(name)
        return MASK if value and is_marked else self.redact(value)

    def _redact_secrets(self, text: str) -> str:
        """Return *text* without the known credentials, in any letter case."""
        if self._masks_all:
            return text and MASK
        folded = text.casefold()
        found = [secret for secret in self._secrets if secret in folded]
        if not found:
            return text
        text = _cut(text, _spans(folded, found))
        return MASK if any(map(text.casefold().__contains__, found)) else text


def is_printable_name(name: object) -> bool:
    """Return whether an invalid field name is safe to repeat in an error message.

    Other names may contain a credential; see ``INVALID_NAME``.
    """
    return _PRINTABLE_NAME.fullmatch(str(name)) is not None


@lru_cache(maxsize=256)
def is_secret(name: str) -> bool:
    """Return whether a parameter or header of this name holds a credential.

    A typing error in the last words of the name makes no difference: ``api_kye``.
    """
    if len(name) > MAX_NAME or _SECRET_NAME.search(name):
        return True
    words = _SEPARATORS.split(name.lower())[-MAX_WORDS:]
    return any(
        _differs_by_one_edit(word, secret)
        for word in {*words, "".join(words)}
        for secret in _SECRET_WORDS
    )


def _differs_by_one_edit(word: str, other: str) -> bool:
    """Return whether a letter is missing, added or changed, or two are exchanged."""
    if abs(len(word) - len(other)) > 1:
        return False
    same = 0
    if word[:1] == other[:1]:
        pairs = zip(word, other, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    rest, expected = word[same:], other[same:]
    return (
        rest[1:] == expected[1:]
        or rest[1:] == expected
        or rest == expected[1:]
        or rest[1::-1] + rest[2:] == expected
    )


def find_secrets(pairs: Iterable[Parameter]) -> list[str]:
    """Return the values of the parameters whose names mark credentials.

    A name without a value may hold the credential itself: see :func:`redact_name`.
    Some may be shorter than :data:`MIN_SECRET`; a redactor leaves these out.
    """
    secrets = []
    for name, value in pairs:
        if value in _NO_VALUES:
            if len(name) >= MIN_SECRET:
                secrets.append(_split_name(name)[1].lstrip(_SIGNS))
        elif len(value) >= MIN_SECRET and len(name) <= MAX_NAME and is_secret(name):
            secrets.append(value)  # the cache of is_secret() keeps no long names
            if not value.isalnum():  # 'Bearer KEY', a line end, or a second '='
                words = value.translate(_UNQUOTED).lstrip(_SIGNS)
                secrets += [*words.split(None, 2)[:2][-1:], _trim(value)]
    return secrets


def find_credentials(field: str) -> list[str]:
    """Return the credentials in a header field such as ``Authorization``.

    A malformed field may have one at any place: each word that looks like a key is one.
    A field without a scheme is one, too, which can have blanks. The blank after a
    scheme can be missing, and the Base64 can have an invalid end.
    """
    parts = field.split(",", _MAX_FIELDS - 1)  # a client can send the field twice
    found = [*filter(_is_random, _FIELD_SEPARATORS.split(field))]
    for text in dict.fromkeys([field, *parts]):
        found += _field_credentials(text)
    return [*dict.fromkeys((*found, *map(_trim, found)))]


def _trim(credential: str) -> str:
    """Return *credential* without a line end, quotation marks or brackets around it.

    ``echo api:KEY | base64`` adds a line end, and a client can encode it as ``%0A``.
    """
    return unquote(credential).strip(_AROUND)


def _field_credentials(field: str) -> list[str]:
    text = field.strip(" \t")  # of Latin-1, which has other blanks inside of UTF-8
    scheme, blanks, credentials = _FIELD_PARTS.findall(text)[0]
    found = [credentials]
    if scheme and not (blanks and scheme.lower() in _SCHEMES):
        found.append(text)
    if scheme.lower() == "basic":
        encoded = _BASE64.findall(credentials.translate(_FROM_URL_SAFE))[0]
        encoded = encoded[: len(encoded) - (len(encoded) % 4 == 1)]
        decoded = b64decode(encoded + "=" * (-len(encoded) % 4))
        for each in {decoded.decode(errors="replace"), decoded.decode("latin-1")}:
            found += _basic_credentials(each)
    return found


def _basic_credentials(decoded: str) -> list[str]:
    user, _, password = decoded.partition(":")
    is_long = len(user) >= MIN_LONG_NAME and "@" not in user
    is_key = not password or (is_long and len(password) < MIN_SECRET)
    name = decoded.removesuffix(":")  # which can have a colon, too
    return [decoded, name, password, user if is_key else ""]


def redact_name(name: str, value: str) -> str:
    """Return the name of a parameter without the credential that it may hold.

    Without its "=", ``api_key=...`` is a name without a value. So is a lone key, which
    is recognized by a digit, or by its length.
    """
    if value not in _NO_VALUES:
        return name
    shown, secret = _split_name(name)
    return shown + MASK if secret else name


def _split_name(name: str) -> tuple[str, str]:
    """Return a name without a value as the name proper, and the credential after it."""
    if len(name) > MAX_NAME:
        return "", name
    found = _NAME_OF_SECRET.match(name)
    if found and not any(map(str.isdigit, found[0])):  # a key can have such a word
        return found[0], name[found.end() :]
    return ("", name) if _is_random(name) else (name, "")


def _is_random(text: str) -> bool:
    """Return whether *text* looks like a key, by a digit or by its length."""
    has_digit = len(text) >= MIN_SECRET and any(map(str.isdigit, text))
    return has_digit or len(text) >= MIN_LONG_NAME


def _first(pairs: Iterable[Parameter]) -> list[Parameter]:
    """Return the parameters that are kept, and an ellipsis in place of the rest."""
    shown: list[Parameter] = []
    room = MAX_SHOWN_TEXT
    for name, value in islice(pairs, MAX_SHOWN_PARAMETERS):
        room -= min(len(name), MAX_TEXT) + min(len(value), MAX_TEXT)
        if room < 0:
            return [*shown, (ELLIPSIS, ELLIPSIS)]
        shown.append((name, value))
    return shown


def shorten(text: str, most: int = MAX_TEXT) -> str:
    """Return the beginning of *text*, in at most *most* characters."""
    return text if len(text) <= most else f"{text[: most - 1]}{ELLIPSIS}"


def _group(pairs: list[Parameter]) -> dict[str, str | list[str]]:
    """Return the values by name: a list if a name occurs several times."""
    values: dict[str, str | list[str]] = dict(pairs)
    if len(values) < len(pairs):
        for name in values:
            found = [value for other, value in pairs if other == name]
            values[name] = found if len(found) > 1 else found[0]
    return values


def _longest_first(secrets: Iterable[str]) -> tuple[list[str], bool]:
    """Return the secrets to search for, folded, and whether they are too many.

    A secret may be a part of a longer one.
    """
    distinct, number = dict[str, None](), 0
    for secret in secrets:
        if (
            MIN_SECRET <= len(secret) <= MAX_SECRET
            and number <= MAX_SECRETS
            and secret.casefold() not in distinct
        ):
            number += 1
            is_plain = _PLAIN_SECRET.fullmatch(secret)
            for spelling in [secret] if is_plain else _spellings(secret):
                distinct[spelling.casefold()] = None
    ordered = sorted(distinct, key=len, reverse=True)
    length = sum(map(len, ordered))
    if length > MAX_SECRET_TEXT:  # seldom
        length = sum(len(secret) for secret in ordered if len(secret) <= 2 * MAX_TEXT)
    return ordered, number > MAX_SECRETS or length > MAX_SECRET_TEXT


def _spellings(secret: str) -> list[str]:
    """Return *secret* as it occurs in text, JSON, XML and in undecoded header fields.

    WSGI servers decode header fields as Latin-1. A client can have percent-encoded the
    secret once too often.
    """
    forms = [secret, *decodings(secret)]
    forms.append(secret.encode(errors="replace").decode("latin-1"))
    with suppress(UnicodeError):
        forms.append(secret.encode("latin-1").decode())
    return [
        spelling
        for form in forms
        for spelling in (
            form,
            json.dumps(form)[1:-1],
            json.dumps(form, ensure_ascii=False)[1:-1],
            escape(form, quote=False),
            escape(form),
        )
    ]


def _spans(folded: str, secrets: Iterable[str]) -> list[tuple[int, int]]:
    """Return where *secrets* occur, in order; spans that overlap are one.

    A regular expression of secrets would take long to compile, and stay in a cache.
    """
    found = []
    for secret in secrets:
        start = folded.find(secret)
        while start >= 0:
            end = start + len(secret)
            found.append((start, end))
            start = folded.find(secret, end)
    spans: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _cut(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return *text* with a mask for each of *spans*, positions in folded text."""
    ends = [*accumulate(len(letter.casefold()) for letter in text)]
    pieces, position = [], 0
    for start, end in spans:
        # A letter may be several in the folded text.
        first, last = bisect_right(ends, start), bisect_left(ends, end) + 1
        pieces += [text[position:first], MASK]
        position = last
    return "".join((*pieces, text[position:]))


def decodings(text: str) -> Iterator[str]:
    """Yield *text* percent-decoded once, twice and so on, until it does not change."""
    for _ in range(_DECODINGS):
        if "%" not in text and "+" not in text:
            return
        before, text = text, unquote_plus(text)
        if text == before:
            return
        yield text


def _is_suspicious(text: str) -> bool:
    """Return whether *text* may have a credential after a name or in a URL."""
    if any(map(text.lower().__contains__, _SUSPICIOUS)):
        return True
    return "@" in text and USERINFO.search(text) is not None


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
