"""The errors that dialects render by their error tables."""

from collections.abc import Sequence

#: The number of problems in the message of an error.
MAX_SHOWN_PROBLEMS = 10


class BounceError(Exception):
    """Base class of all expected errors."""


class CredentialsError(BounceError):
    """The user name is unknown, or the API key is missing or wrong."""


class TooManyAttemptsError(BounceError):
    """The client has sent too many wrong API keys or control tokens."""

    def __init__(self, message: str = "too many wrong API keys") -> None:
        super().__init__(message)


class NotAuthorizedError(BounceError):
    """The account may not perform the operation."""


class RequestError(BounceError):
    """The request cannot be parsed.

    :param reason: a phrase for the client.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ContentTypeError(RequestError):
    """The media type of the body is not supported."""


class AccountLimitError(RequestError):
    """The request needs one more account than the server creates by itself."""


class ParametersError(BounceError):
    """Invalid input.

    :param problems: pairs of (path of the argument, message); an empty path means the
        whole input.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.messages(MAX_SHOWN_PROBLEMS)))

    def messages(self, most: int) -> list[str]:
        """Return the first *most* problems as text, and how many are omitted."""
        messages = [f"{name}: {text}" if name else text for name, text in self.problems]
        more = len(messages) - most
        return [*messages[:most], f"and {more} more"] if more > 0 else messages

    def within(self, place: str, glue: str = ".") -> "ParametersError":
        """Return the same problems with *place* and *glue* before each path."""
        return ParametersError(
            [(f"{place}{glue}{n}" if n else place, text) for n, text in self.problems]
        )


class NoFilterError(BounceError):
    """A deletion lacks the filter that the dialect requires."""


class ConflictError(BounceError):
    """The operation conflicts with the current state."""


class NameTakenError(ConflictError):
    """The account or domain already exists."""


class UnknownNameError(BounceError):
    """A named object does not exist.

    :param kind: its kind, for the message.
    """

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name!r}")
        self.kind = kind
        self.name = name


class UnknownAddressError(BounceError):
    """The bounce list does not contain the address.

    :param rows_changed: 0 if the request tried to change the bounce, None for a read.
    """

    def __init__(self, message: str = "", rows_changed: int | None = None) -> None:
        super().__init__(message)
        self.rows_changed = rows_changed


class StorageError(BounceError):
    """The database does not answer or reports an error.

    :param code: the driver's error number, if known.
    :param reason: the cause in words that anyone may read, without a location.
    """

    def __init__(self, message: str, code: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class AbsentError(StorageError):
    """The database does not exist or has no tables."""
