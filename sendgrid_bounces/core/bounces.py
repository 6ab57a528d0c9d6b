"""A bounce, how it is classified, and the question that picks bounces from a list."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from sendgrid_bounces.core.errors import ParametersError

#: Longest texts that are stored, in characters. RFC 5321 allows an address
#: 64 + 1 + 255; no reply of a mail server comes near the reason's bound.
MAX_LENGTHS = {"email": 320, "status": 32, "code": 32, "reason": 65_535}
_LONGEST = tuple(MAX_LENGTHS.values())

#: Years 1 to 9999, what the vendors' date forms can express, less two days at
#: either end, so that every instant has a time of day in every time zone.
EARLIEST, LATEST = -62_135_424_000, 253_402_127_999

_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLY_CODE = re.compile(r"[0-9]{3}(?![0-9])")


class BounceType(IntEnum):
    """The class of a status code (RFC 3463): its first digit."""

    OTHER = 0
    SOFT = 4
    HARD = 5


_TYPES = {"4": BounceType.SOFT, "5": BounceType.HARD}


@dataclass(frozen=True, slots=True)
class Bounce:
    """A recipient to whom delivery failed; fit to be stored, or it cannot be made.

    What one vendor lacks is derived: the status is the code, and the code what
    the reason or the status says.

    :param email: the address, in the letter case it was given in.
    :param status: enhanced status code (RFC 3463), as ``5.1.1``; some servers give
        only a reply code, as ``550``.
    :param code: SMTP reply code (RFC 5321), as ``550``.
    :param reason: what the other side said (RFC 3464, diagnostic code), to the byte.
    :param created: the instant of the failure.
    :param reported: whether a mail server reported it; False if somebody entered it.
    :raises ParametersError: naming each text that is too long or no Unicode text.
    """

    email: str
    status: str
    code: str
    reason: str
    created: int
    reported: bool = False

    def __post_init__(self) -> None:
        """Check what was given, and derive what was not."""
        if faults := self._faults():
            raise ParametersError(faults)
        if not self.status:
            object.__setattr__(self, "status", self.code)
        if not self.code:
            object.__setattr__(self, "code", self._derived_code())

    @property
    def type(self) -> BounceType:
        """Hard, soft, or neither."""
        return classify(self.status)

    def _faults(self) -> list[tuple[str, str]]:
        faults = []
        if not self.email:
            faults.append(("email", "must not be empty"))
        elif "\0" in self.email:
            faults.append(("email", "must not contain a NUL character"))
        texts = (self.email, self.status, self.code, self.reason)
        for text, longest in zip(texts, _LONGEST):  # noqa: B905 - strict takes longer
            if len(text) > longest or not text.isascii():
                faults += _text_faults(texts)
                break
        if not EARLIEST <= self.created <= LATEST:
            faults.append(("created", "must be of the years 1 to 9999"))
        return faults

    def _derived_code(self) -> str:
        """Return the reply code that begins the reason, else the status's general one.

        A status that is a reply code itself (``550``) is the code.
        """
        for text in (self.reason, self.status):
            if match := _REPLY_CODE.match(text):
                return match[0]
        return "450" if self.type is BounceType.SOFT else "550"


@dataclass(frozen=True, slots=True)
class BounceQuery:
    """Which bounces of a list are meant: those that match everything given.

    :param created_from: first instant.
    :param created_before: first instant no longer meant: ranges are half-open.
    :param emails: any of these addresses, letter case ignored.
    """

    created_from: int | None = None
    created_before: int | None = None
    type: BounceType | None = None
    emails: tuple[str, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether the query leaves nothing out."""
        return self == BounceQuery()


@dataclass(frozen=True, slots=True)
class BouncePage:
    """A page of a list in the order of its keys.

    :param pivot: the address that the page begins after, or, *backwards*, ends before;
        None for the first page, or the last one. It need not be on the list.
    :param prefix: how the addresses begin, letter case ignored.
    """

    pivot: str | None = None
    backwards: bool = False
    prefix: str = ""


def classify(status: str) -> BounceType:
    """Return the type that the first digit of *status* says."""
    return _TYPES.get(status[:1], BounceType.OTHER)


def fold(email: str) -> str:
    """Return the key under which *email* is found: its letter case taken away.

    Letter by letter, so that the key of a beginning is the beginning of the key,
    and ``ß`` stays apart from ``ss``: they are different mailboxes.
    """
    return email.lower() if email.isascii() else "".join(map(str.lower, email))


def successor(prefix: str) -> str:
    """Return the first text after all that begin with *prefix*; empty if none is."""
    for end in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[end]) + 1
        if code in range(0xD800, 0xE000):  # surrogates are no characters
            code = 0xE000
        if code <= sys.maxunicode:
            return prefix[:end] + chr(code)
    return ""


def _text_faults(texts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the faults of *texts*, which are those that :data:`MAX_LENGTHS` names."""
    for (name, longest), text in zip(MAX_LENGTHS.items(), texts, strict=True):
        if len(text) > longest:
            yield name, f"must not be longer than {longest} characters"
        elif _SURROGATE.search(text):
            yield name, "must be Unicode text without lone surrogates"
