"""What can go wrong, as facts; each dialect finds its own words and status codes."""

from collections.abc import Sequence

#: Problems reported of many in one line.
MAX_PROBLEMS = 10


class BounceError(Exception):
    """Something the caller asked for cannot be done."""


class CredentialsError(BounceError):
    """The user name is unknown, or the key is not its key."""


class NotAuthorizedError(BounceError):
    """The caller is known, and may not do what it asks for."""


class RequestError(BounceError):
    """The request as a whole cannot be read; *reason* says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ContentTypeError(RequestError):
    """The body is of a kind that carries no parameters."""


class ParametersError(BounceError):
    """One or more arguments do not parse.

    :param problems: pairs of (path of the argument, message); an empty path means the
        whole input.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.messages(MAX_PROBLEMS)))

    def messages(self, most: int) -> list[str]:
        """Return what is wrong, in sentences; after *most* of them, how many more."""
        told = [f"{name}: {text}" if name else text for name, text in self.problems]
        more = len(told) - most
        return [*told[:most], f"and {more} more"] if more > 0 else told

    def within(self, place: str, glue: str = ".") -> "ParametersError":
        """Return the same problems as they are seen from outside *place*."""
        return ParametersError(
            [(f"{place}{glue}{n}" if n else place, text) for n, text in self.problems]
        )


class NoFilterError(BounceError):
    """A delete names nothing to delete where that must not mean everything."""


class ConflictError(BounceError):
    """What is asked for does not fit what is there."""


class NameTakenError(ConflictError):
    """An account of this name exists already."""


class UnknownNameError(BounceError):
    """No account or domain has this name; *kind* says which is meant."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name!r}")
        self.name = name


class UnknownAddressError(BounceError):
    """The bounce list does not contain the address.

    :param rows_changed: 0 if the request tried to change it, None if it only read.
    """

    def __init__(self, message: str = "", rows_changed: int | None = None) -> None:
        super().__init__(message)
        self.rows_changed = rows_changed


class StorageError(BounceError):
    """The database does not answer or reports an error.

    :param code: the driver's error number, if there is one.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class AbsentError(StorageError):
    """There is no database yet, or it has no tables."""
