"""The syntax of e-mail addresses: RFC 5321, with a lenient domain.

A pattern recognizes most addresses. Plain string operations check the rest: a pattern
for all of Unicode takes longer to compile than the rest of the program takes to start.
"""

import ipaddress
import re
import string

_ALNUM = string.ascii_letters + string.digits

#: The characters of an unquoted local part (RFC 5321, Dot-string).
_LOCAL = frozenset(_ALNUM + "!#$%&'*+-/=?^_`{|}~.")

#: The characters of a domain. Host names have no underscores, but domains can.
_DOMAIN = frozenset(_ALNUM + "-_.")

#: The characters of a quoted local part (RFC 5321, QcontentSMTP).
_QUOTED = frozenset(map(chr, range(0x20, 0x7F)))

#: The longest label of a domain (RFC 1035).
MAX_LABEL = 63

#: Characters of the longest text that may be an address: more than a list accepts. The
#: pattern takes dozens of times its length in memory.
MAX_ADDRESS = 1_000


_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"

#: Most addresses, and nothing else.
_PLAIN = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


def is_address(text: str) -> bool:
    """Return whether *text* is an e-mail address.

    The domain may be a single label (``localhost``), have underscores, or be an address
    literal such as ``[192.0.2.1]``. Printable characters beyond ASCII are letters (RFC
    6531).
    """
    if len(text) > MAX_ADDRESS:
        return False
    return _PLAIN.fullmatch(text) is not None or _is_address(text)


def _is_address(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    if not local or not domain:
        return False
    if not text.isascii():
        if not text.isprintable():
            return False
        local, domain = _as_letters(local), _as_letters(domain)
    return _is_local_part(local) and _is_domain(domain)


def _as_letters(text: str) -> str:
    """Return *text* with a letter in place of each character beyond ASCII."""
    return "".join(character if character.isascii() else "x" for character in text)


def _is_local_part(text: str) -> bool:
    if text[0] == '"':
        return len(text) > 1 and text[-1] == '"' and _is_quoted(text[1:-1])
    return _LOCAL.issuperset(text) and "" not in text.split(".")


def _is_quoted(text: str) -> bool:
    """Return whether *text* can stand between quotes, with backslash escapes."""
    unquoted = text.replace("\\\\", "").replace('\\"', "")
    return _QUOTED.issuperset(text) and '"' not in unquoted and unquoted[-1:] != "\\"


def _is_domain(text: str) -> bool:
    if text[0] == "[":
        return text[-1] == "]" and _is_literal(text[1:-1])
    labels = text.split(".")
    return (
        _DOMAIN.issuperset(text)
        and "" not in labels
        and (len(text) <= MAX_LABEL or max(map(len, labels)) <= MAX_LABEL)
        and ("-" not in text or not any(_has_outer_hyphen(label) for label in labels))
    )


def _has_outer_hyphen(label: str) -> bool:
    return label[0] == "-" or label[-1] == "-"


def _is_literal(text: str) -> bool:
    """Return whether *text* is an IP address as in ``[192.0.2.1]``, ``[IPv6:::1]``."""
    is_v6 = text[:5].lower() == "ipv6:"
    try:
        address = ipaddress.ip_address(text[5:] if is_v6 else text)
    except ValueError:
        return False
    return address.version == (6 if is_v6 else 4) and "%" not in text
