"""Forms: percent-encoding (RFC 3986), and the limit of a boundary."""

from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

#: Bytes that are decoded at once: the standard library needs 75 bytes of memory for
#: each byte of a text of escapes.
PIECE = 64 * 1024

#: Characters of a boundary, which parsers may compare at each byte. RFC 2046, 5.1.1
#: allows 70; the test client of Werkzeug sometimes sends a few more.
MAX_BOUNDARY = 100


def decode_form_text(encoded: bytes) -> bytes:
    """Return *encoded* without percent-encoding, and with blanks for plus signs.

    An invalid escape stays as it is.
    """
    encoded = encoded.replace(b"+", b" ")
    if b"%" not in encoded:
        return encoded
    return b"".join(map(unquote_to_bytes, _pieces(encoded)))


def _pieces(encoded: bytes) -> Iterator[bytes]:
    """Yield *encoded* in pieces that end outside of escapes."""
    start = 0
    while start < len(encoded):
        end = start + PIECE
        escape = encoded.rfind(b"%", end - 2, end)
        end = end if escape < 0 else escape
        yield encoded[start:end]
        start = end
