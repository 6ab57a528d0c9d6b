"""Text in XML: what it cannot carry, and how the rest is escaped."""

import re

#: What XML 1.0 has no way to write (its production 2, Char, negated).
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_SPECIAL = re.compile("[&<>\r]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


def clean(text: str) -> str:
    """Return *text* without the characters that XML 1.0 cannot carry."""
    return UNWRITABLE.sub("", text)


def escape(text: str) -> str:
    """Return *text* as element content, cleaned, character for character as lxml.

    Characters beyond ASCII are left for the encoder, which writes references.
    """
    if not text.isascii() or not text.isprintable():
        text = clean(text)
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], text)
