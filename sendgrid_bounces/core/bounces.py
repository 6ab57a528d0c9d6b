"""Bounces, their classification, and queries on a bounce list."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from sendgrid_bounces.core.errors import ParametersError

#: Maximum lengths in characters. RFC 5321 allows an address 64 + 1 + 255; the replies
#: of mail servers are far shorter than the bound of the reason.
MAX_LENGTHS = {"email": 320, "status": 32, "code": 32, "reason": 65_535}
_MAX_EMAIL, _MAX_STATUS, _MAX_CODE, _MAX_REASON = MAX_LENGTHS.values()

#: The first and last instant: the years 1 to 9999, which the vendors' date formats can
#: express, less two days at either end for the time zones.
EARLIEST, LATEST = -62_135_424_000, 253_402_127_999
INSTANT_RANGE = "from 0001-01-03 to 9999-12-29"

_SURROGATE = re.compile("[\ud800-\udfff]")

#: An instant and an identifier. Integers of 18 digits fit into 64 bits.
_POSITION = re.compile(r"(-?[0-9]{1,18})-([0-9]{1,18})")

#: The largest number of bounces that a query passes over.
MAX_OFFSET = 2**53

#: A reply code of a failure. Services have codes up to 699.
_REPLY_CODE = re.compile(r"[4-6][0-9]{2}(?![0-9])")

#: An enhanced status code of a failure.
_ENHANCED_CODE = re.compile(r"[45]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")


class BounceType(IntEnum):
    """The class of a status code (RFC 3463): its first digit."""

    OTHER = 0
    SOFT = 4
    HARD = 5

    @property
    def label(self) -> str:
        """The name in messages, parameters and documents."""
        return self.name.lower()


#: The types of bounces by their labels, the commonest first.
TYPES_BY_LABEL = {
    found.label: found for found in (BounceType.HARD, BounceType.SOFT, BounceType.OTHER)
}

_TYPES = {"4": BounceType.SOFT, "5": BounceType.HARD}


@dataclass(frozen=True, slots=True)
class Bounce:
    """A failed delivery to a recipient, checked and complete.

    A missing status is the code; a missing code is derived from the reason or the
    status.

    :param email: the address with its letter case.
    :param status: enhanced status code (RFC 3463) such as ``5.1.1``; some servers
        report only a reply code such as ``550``.
    :param code: reply code (RFC 5321) such as ``550``.
    :param reason: diagnostic code (RFC 3464), unchanged.
    :param created: the instant of the failure.
    :param reported: whether a mail server reported the failure, instead of a person.
    :raises ParametersError: with a problem for each invalid field.
    """

    email: str
    status: str
    code: str
    reason: str
    created: int
    reported: bool = False

    def __post_init__(self) -> None:
        """Check the fields and derive missing fields."""
        email, status, code, reason = self.email, self.status, self.code, self.reason
        is_plain = (
            email
            and "\0" not in email
            and len(email) <= _MAX_EMAIL
            and len(status) <= _MAX_STATUS
            and len(code) <= _MAX_CODE
            and len(reason) <= _MAX_REASON
            and (email + status + code + reason).isascii()
            and EARLIEST <= self.created <= LATEST
        )
        if not is_plain and (problems := [*self._problems()]):
            raise ParametersError(problems)
        if not code:
            object.__setattr__(self, "code", self._derived_code())
        if not status:
            object.__setattr__(self, "status", self.code)

    @property
    def type(self) -> BounceType:
        """The type derived from the status."""
        return classify(self.status)

    def _problems(self) -> Iterator[tuple[str, str]]:
        if not self.email:
            yield "email", "must not be empty"
        elif "\0" in self.email:
            yield "email", "must not contain a NUL character"
        yield from _text_problems((self.email, self.status, self.code, self.reason))
        if not EARLIEST <= self.created <= LATEST:
            yield "created", f"must be {INSTANT_RANGE}"

    def _derived_code(self) -> str:
        """Return the reply code that begins the reason or the status.

        If there is none, return the generic code for the class of the status, which can
        begin the reason, too.
        """
        for text in (self.reason, self.status):
            if match := _REPLY_CODE.match(text):
                return match[0]
        in_reason = _ENHANCED_CODE.match(self.reason)
        status = self.status or (in_reason[0] if in_reason else "")
        return "450" if classify(status) is BounceType.SOFT else "550"


@dataclass(frozen=True, slots=True)
class BounceQuery:
    """Conditions on the bounces of a list, all of which must hold.

    :param created_from: the first instant.
    :param created_before: the first instant after the range.
    :param emails: the accepted addresses, in any letter case; none for all.
    :param excluded_type: the type that does not match.
    :param pattern: the whole address, in any letter case; ``%`` matches any text.
    :param status_glob: a pattern of the status, in any letter case; ``*`` matches any
        text and ``?`` any character.
    :param email_globs: patterns like it, one of which the address matches.
    """

    created_from: int | None = None
    created_before: int | None = None
    type: BounceType | None = None
    emails: tuple[str, ...] = ()
    excluded_type: BounceType | None = None
    pattern: str = ""
    status_glob: str = ""
    email_globs: tuple[str, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether the query has no conditions."""
        return self == BounceQuery()

    @property
    def has_patterns(self) -> bool:
        """Whether addresses or statuses must match a pattern."""
        return bool(self.pattern or self.status_glob or self.email_globs)


@dataclass(frozen=True, slots=True)
class BouncePage:
    """A page of a list in the order of its keys.

    :param pivot: the address after which the page begins, or, if *backwards*, before
        which the page ends; not necessarily on the list. None for the first or the last
        page.
    :param prefix: the beginning of the addresses, in any letter case.
    """

    pivot: str | None = None
    backwards: bool = False
    prefix: str = ""


class Position(NamedTuple):
    """The place of a row on a list in the order of time; as text, a cursor."""

    created: int
    id: int

    def __str__(self) -> str:
        """Return ``CREATED-ID``."""
        return f"{self.created}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position in *text*.

        :raises ValueError: if it has another form, or is out of range.
        """
        match = _POSITION.fullmatch(text)
        if match is None:
            raise ValueError("must be CREATED-ID")
        return cls(int(match[1]), int(match[2]))


def classify(status: str) -> BounceType:
    """Return the type for the first digit of *status*."""
    return _TYPES.get(status[:1], BounceType.OTHER)


#: Characters that are folded at once.
_PIECE = 1_000


def fold(email: str) -> str:
    """Return the key of *email*, which ignores letter case.

    Each character is folded by itself, so that the key of a prefix is a prefix of the
    key, and ``ß`` differs from ``ss`` as it does in mailboxes.
    """
    if email.isascii():
        return email.lower()
    if len(email) > _PIECE:  # a list of a million characters takes 60 MB
        starts = range(0, len(email), _PIECE)
        return "".join(fold(email[start : start + _PIECE]) for start in starts)
    return "".join(map(str.lower, email))


def successor(prefix: str) -> str:
    """Return the first text after all texts with *prefix*; empty if none follows."""
    for end in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[end]) + 1
        if code in range(0xD800, 0xE000):  # surrogates are not characters
            code = 0xE000
        if code <= sys.maxunicode:
            return prefix[:end] + chr(code)
    return ""


def _text_problems(texts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the problems of *texts*, in the order of :data:`MAX_LENGTHS`."""
    for (name, longest), text in zip(MAX_LENGTHS.items(), texts, strict=True):
        if len(text) > longest:
            yield name, f"must not be longer than {longest} characters"
        elif _SURROGATE.search(text):
            yield name, "must be Unicode text without lone surrogates"
