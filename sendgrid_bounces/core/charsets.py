"""Character encodings."""

import codecs

#: Encodings of host names. They do not encode text, and take quadratic time.
_OF_HOST_NAMES = {"idna", "punycode"}


def is_charset(name: str) -> bool:
    """Return whether *name* is a known encoding of text."""
    try:
        "".encode(name)
        return codecs.lookup(name).name not in _OF_HOST_NAMES
    except (LookupError, ValueError):  # ValueError: it contains NUL
        return False
