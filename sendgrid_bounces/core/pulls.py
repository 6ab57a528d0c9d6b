"""Pulls: copies of a live account's bounces in a list."""

from dataclasses import dataclass

#: The problem of a pull that is running, or was killed.
UNFINISHED = "the pull has not ended"


@dataclass(frozen=True, slots=True)
class Pull:
    """The latest pull into the list of *owner*.

    :param owner: the name of an account or of a domain.
    :param service: the provider that the bounces come from.
    :param finished: the instant of the latest pull that succeeded; None before it.
    :param start: the first instant of the period that it read.
    :param end: the last instant of the period.
    :param rows: the number of rows that it read.
    :param changed: the number of bounces that it added or replaced.
    :param removed: the number of bounces that it removed.
    :param failed: the instant of the latest failure, or when a pull began that has not
        ended, if it is later than *finished*.
    :param problem: the reason.
    """

    owner: str
    service: str
    finished: int | None = None
    start: int | None = None
    end: int | None = None
    rows: int = 0
    changed: int = 0
    removed: int = 0
    failed: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class WindowResult:
    """The effect of one window of a pull."""

    rows: int = 0
    changed: int = 0
    removed: int = 0

    def __add__(self, other: "WindowResult") -> "WindowResult":
        """Return the sums of both."""
        return WindowResult(
            self.rows + other.rows,
            self.changed + other.changed,
            self.removed + other.removed,
        )
