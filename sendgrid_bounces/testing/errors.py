"""Errors that blame the line of the test, not the frames of this package."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from sendgrid_bounces.core import errors

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class ParametersError(errors.ParametersError, ValueError):
    """An argument is invalid. The message names each one, its problem and its value."""


# Pytest shows the place of the class before the message in its one-line summary.
ParametersError.__module__ = "sendgrid_bounces.testing"


def report_arguments(
    function: Callable[Parameters, Result],
) -> Callable[Parameters, Result]:
    """Return *function* with a short traceback for invalid arguments."""

    @wraps(function)
    def call(*arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        __tracebackhide__ = True
        try:
            return function(*arguments, **options)
        except errors.ParametersError as error:
            raise ParametersError(error.problems) from None

    return call
