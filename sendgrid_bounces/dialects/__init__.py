"""The dialects: one folder for each vendor, one blueprint module for each dialect.

A dialect turns its vendor's requests into operations on bounce lists, and what comes
of them into its vendor's bytes. No dialect knows another vendor's, and none writes SQL.
"""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, Response


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an application must know of a dialect.

    :param name: as it stands in journals and tests: vendor, then face.
    :param blueprint: its routes.
    :param owns: whether a path lies in its URL space. A blueprint is not told of
        what the router refuses there: the application asks here who words it.
    :param word: makes the answer of (HTTP status, path) to such a refusal.
    """

    name: str
    blueprint: Blueprint
    owns: Callable[[str], bool]
    word: Callable[[int, str], Response]
