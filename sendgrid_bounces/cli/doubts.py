"""Warnings about implausible bounces, on stderr."""

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import click

from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.errors import ParametersError

#: Warnings that one command prints; further ones are counted.
MAX_WARNINGS = 10

_NONE: Mapping[str, str] = MappingProxyType({})

STRICT = click.option(
    "--strict",
    "is_strict",
    is_flag=True,
    help="Reject implausible addresses, statuses and codes instead of warning.",
)


class Doubts:
    """The warnings of one command.

    :param is_strict: whether an implausible bounce is an error.
    :param labels: the options that fields were given by.
    """

    def __init__(self, *, is_strict: bool, labels: Mapping[str, str] = _NONE) -> None:
        self._is_strict = is_strict
        self._labels = labels
        self._number = 0

    def check(self, place: str, bounce: Bounce) -> None:
        """Warn about the implausible fields of *bounce*.

        :param place: the file and the place in it, for the warning.
        :raises ParametersError: with these fields, if they are errors.
        """
        from sendgrid_bounces.schemas.bounces import describe_doubts

        problems = describe_doubts(bounce)
        if problems:
            named = [(self._labels.get(field, field), text) for field, text in problems]
            self.report(place, named)

    def report(self, place: str, problems: Sequence[tuple[str, str]]) -> None:
        """Print the first warnings, and count the rest.

        :raises ParametersError: if they are errors.
        """
        if problems and self._is_strict:
            raise ParametersError(problems)
        for field, text in problems:
            self._number += 1
            if self._number <= MAX_WARNINGS:
                echo_warning(f"{place}{field}: {text}")

    def finish(self) -> None:
        """Print the number of warnings that were not printed."""
        if self._number > MAX_WARNINGS:
            echo_warning(f"{self._number - MAX_WARNINGS:,} more warnings")


def echo_warning(message: str) -> None:
    """Print *message* on stderr."""
    label = click.style("Warning:", fg="yellow", bold=True)
    color = False if os.environ.get("NO_COLOR") else None
    click.echo(f"{label} {' '.join(message.split())}", err=True, color=color)
