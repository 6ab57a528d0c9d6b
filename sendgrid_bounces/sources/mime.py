"""MIME with header fields of bounded length."""

from email.policy import Compat32

#: Characters of a header field with parameters, which take quadratic time to read.
MAX_FIELD = 1_000


class BoundedPolicy(Compat32):
    """The policy ``compat32`` with short fields.

    :ivar bounded: the beginning of their names, in small letters.
    """

    bounded = "content-"

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Return the name and the value of a header field."""
        name, value = super().header_source_parse(sourcelines)
        if name.lower().startswith(self.bounded):
            value = value[:MAX_FIELD]
        return name, value


class ShortPolicy(BoundedPolicy):
    """The policy ``compat32`` with short fields of all names."""

    bounded = ""


POLICY = BoundedPolicy()
