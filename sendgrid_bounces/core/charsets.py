"""Character encodings."""

import codecs
import encodings.aliases
from functools import cache
from pkgutil import iter_modules

#: Encodings of host names. They do not encode text, and take quadratic time.
_OF_HOST_NAMES = {"idna", "punycode"}

#: Encodings with sequences of any length. Files that begin one, and are decoded in
#: pieces, take quadratic time.
_OF_LONG_SEQUENCES = {"utf-7", "unicode-escape", "raw-unicode-escape"}


#: Names of unknown encodings that are kept, in all.
MAX_UNKNOWN = 1_000


def forget_unknown_charsets() -> None:
    """Drop the names of unknown encodings if there are many.

    The standard library keeps each name that it has not found.
    """
    cache = getattr(encodings, "_cache", {})
    if len(cache) > MAX_UNKNOWN:
        for name, encoding in [*cache.items()]:
            if encoding is None:
                cache.pop(name, None)


def is_file_charset(name: str) -> bool:
    """Return whether *name* is a known encoding of files, which are read in pieces."""
    return is_charset(name) and codecs.lookup(name).name not in _OF_LONG_SEQUENCES


@cache
def _known_names() -> frozenset[str]:
    """Return the normalized names of encodings and their synonyms."""
    modules = (module.name for module in iter_modules(encodings.__path__))
    return frozenset((*modules, *encodings.aliases.aliases))


def is_charset(name: str) -> bool:
    """Return whether *name* is a known encoding of text."""
    plain = encodings.normalize_encoding(name).lower()
    if _known_names().isdisjoint((plain, plain.replace(".", "_"))):
        return False  # a look-up would try to import a module
    try:
        "".encode(name)
        return codecs.lookup(name).name not in _OF_HOST_NAMES
    except (LookupError, ValueError):  # ValueError: it contains NUL
        return False
