"""A limit on JSON that strangers send."""

#: Values that a JSON text may have. A value of two bytes takes 60 bytes of memory or
#: more.
MAX_VALUES = 500_000


def has_too_many_values(text: bytes | bytearray) -> bool:
    """Return whether a JSON text may have more than :data:`MAX_VALUES` values.

    This is known before the text is parsed. Commas and brackets in strings count, too.
    """
    return sum(map(text.count, (b",", b"[", b"{"))) > MAX_VALUES
