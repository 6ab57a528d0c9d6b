"""The dialects: one folder for each vendor, one blueprint module for each dialect.

A dialect turns its vendor's requests into operations on bounce lists, and what comes
of them into its vendor's bytes. No dialect knows another vendor's, and none writes SQL.
"""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint

from sendgrid_bounces.core.faults import Facts
from sendgrid_bounces.wire import Refuse


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
    word: Refuse
    facts: Callable[[], Facts]
