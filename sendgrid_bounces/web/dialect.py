"""A dialect: everything that the rest of the application asks of an API version."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint

from sendgrid_bounces.core.faults import Facts
from sendgrid_bounces.web.responses import ErrorRenderer


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an application must know of a dialect.

    :param name: as it stands in journals and tests: vendor, then face.
    :param blueprint: its routes.
    :param owns: whether a path lies in its URL space. A blueprint is not told of
        what the router refuses there: the application asks here who words it.
    :param word: makes the answer to such a refusal, and to an error on demand.
    :param facts: tells what this request is about, before anybody has proven to be its
        caller. It never fails: what does not parse is not known.
    """

    name: str
    blueprint: Blueprint
    owns: Callable[[str], bool]
    render: ErrorRenderer
    facts: Callable[[], Facts]
