"""Text in XML: what it cannot carry, and how the rest is escaped."""

import re

#: What XML 1.0 has no way to write (its production 2, Char, negated).
FORBIDDEN_CHARACTERS = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

#: Those of them that ASCII has, and how the others are written as references.
_CONTROLS = bytes({*range(32)} - {*b"\t\n\r"})
_REFERENCES = (b"&#65534;", b"&#65535;")


def clean(text: str) -> str:
    """Return *text* without the characters that XML 1.0 cannot carry."""
    return FORBIDDEN_CHARACTERS.sub("", text)


def escape(text: str) -> str:
    """Return *text* as element content, but for what :func:`encode` does."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def encode(markup: str) -> bytes:
    """Return *markup* as bytes, character for character as lxml writes it.

    What is cleaned away, and a carriage return, is in no tag: it is looked for once in
    many rows, not in each text. What is beyond ASCII becomes a reference; no text looks
    like one, since its ampersand is escaped.
    """
    written = markup.encode("ascii", "xmlcharrefreplace").translate(None, _CONTROLS)
    for reference in _REFERENCES:
        written = written.replace(reference, b"")
    return written.replace(b"\r", b"&#13;")
