"""Bounce events: the common result of all sources."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any

#: Longest address, reason and key, in characters. A longer key is hashed.
MAX_EMAIL, MAX_REASON, MAX_KEY = 320, 1_000, 300

#: Characters of a kind of event, and of why an event is not listed.
MAX_KIND = 40

#: Seconds that a sender's clock may be ahead; a later event is dated to its receipt.
MAX_AHEAD = 86_400

#: Timestamps above this bound are milliseconds.
_MILLISECONDS_FROM = 100_000_000_000

#: Characters of a timestamp.
_MAX_TIME = 64

_ADDRESS = re.compile(
    r"[^\s@\x00-\x1f\x7f<>;,:()\[\]]+@[^\s@\x00-\x1f\x7f<>;,:()\[\]]+"
)
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_CODE = re.compile(r"[45][0-5][0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_ISO_FRACTION = re.compile(r"\.[0-9]{1,20}")


class Permanence(Enum):
    """Whether a delivery failed, and for how long the address will."""

    PERMANENT = "permanent"
    TEMPORARY = "temporary"  # given up after retries
    NOT_LISTED = "not listed"  # still retried, blocked, or rejected for other reasons


class EventError(ValueError):
    """The event lacks a field that a bounce needs, or the field is invalid."""


@dataclass(frozen=True, slots=True)
class BounceEvent:
    """A failed or delayed delivery to a recipient.

    :param status: enhanced status code (RFC 3463); never empty.
    :param code: SMTP reply code; empty if none was reported.
    :param created: Unix time in seconds.
    :param key: identifies the event among repeats of its source; empty if nothing does.
    :param note: why the event is not listed; empty if it is.
    :param only_if_unknown: the provider had the address on its list before this event,
        so an existing bounce is the better record.
    :param guessed: neither status nor code was reported.
    """

    email: str
    status: str
    code: str
    reason: str
    created: int
    permanence: Permanence
    key: str
    note: str = ""
    only_if_unknown: bool = False
    guessed: bool = False

    @property
    def is_listed(self) -> bool:
        """Whether the address belongs on the bounce list."""
        return self.permanence is not Permanence.NOT_LISTED


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of a mail or a request.

    :param ignored: number of elements without a bounce, by kind: ``{"delivered": 2}``.
    :param skipped: a message for each element that cannot be read.
    :param confirm_url: the URL that confirms a subscription, if one is requested.
    :param token: the key of the request itself, which is valid once.
    """

    events: tuple[BounceEvent, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    confirm_url: str = ""
    token: str = ""

    @property
    def listed(self) -> tuple[BounceEvent, ...]:
        """The events that put their addresses on the bounce list."""
        return tuple(event for event in self.events if event.is_listed)


def bounce_event(
    email: Any,
    *,
    status: Any = "",
    code: Any = "",
    reason: Any = "",
    created: int,
    key: str,
    permanence: Permanence | None = None,
    note: str = "",
    only_if_unknown: bool = False,
) -> BounceEvent:
    """Return a bounce event with normalized fields.

    A missing status is derived from *permanence* or from the code; a missing
    permanence is the class of the status. A status or code without the standard's form
    is dropped.

    :raises EventError: if *email* is not an address.
    """
    status, code = clean_status(status), clean_code(code)
    guessed = not status and not code
    if permanence is None:
        first = (status or code or "5")[0]
        permanence = Permanence.TEMPORARY if first == "4" else Permanence.PERMANENT
    if not status:
        first = code[:1] or ("5" if permanence is Permanence.PERMANENT else "4")
        status = f"{first}.0.0"
    return BounceEvent(
        email=clean_email(email),
        status=status,
        code=code,
        reason=clean_reason(reason),
        created=created,
        permanence=permanence,
        key=_bounded_key(key),
        note=note[:MAX_KIND],
        only_if_unknown=only_if_unknown,
        guessed=guessed,
    )


def _bounded_key(key: str) -> str:
    key = _CONTROL.sub(" ", key)
    return key if len(key) <= MAX_KEY else hashlib.sha256(key.encode()).hexdigest()


def clean_email(value: Any) -> str:
    """Return the address *value* without surrounding space and angle brackets.

    :raises EventError: if *value* is not an address.
    """
    if not isinstance(value, str):
        raise EventError("email: must be text")
    email = value.strip()
    if email.startswith("<") and email.endswith(">"):
        email = email[1:-1]
    if len(email) > MAX_EMAIL:
        raise EventError(f"email: must not be longer than {MAX_EMAIL} characters")
    if not _ADDRESS.fullmatch(email) or _CONTROL.search(email):
        raise EventError("email: must be an address such as user@example.com")
    return email


def clean_status(value: Any) -> str:
    """Return the enhanced status code *value*, or an empty text if malformed."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    return text if _STATUS.fullmatch(text) else ""


def clean_code(value: Any) -> str:
    """Return the SMTP reply code *value*, or an empty text if malformed.

    Providers add codes of their own (498, 605): they are not SMTP replies.
    """
    text = str(value).strip() if isinstance(value, str | int) else ""
    return text if _CODE.fullmatch(text) else ""


def clean_reason(value: Any) -> str:
    """Return *value* on one line, cut to :data:`MAX_REASON` characters."""
    if not isinstance(value, str):
        return ""
    return " ".join(_CONTROL.sub(" ", value[: 4 * MAX_REASON]).split())[:MAX_REASON]


def read_time(value: Any, now: int) -> int:
    """Return the Unix time of *value*, or *now* if it is missing, invalid or ahead.

    *value* is a number of seconds or milliseconds, also as text, or an ISO 8601 time.
    """
    seconds = read_seconds(value)
    return int(seconds) if seconds and 0 < seconds <= now + MAX_AHEAD else now


def read_seconds(value: Any) -> float | None:
    """Return the Unix time of *value*; None if it is missing or invalid."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and len(value) > _MAX_TIME:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return _iso_seconds(value) if isinstance(value, str) else None
    return number / 1000 if number > _MILLISECONDS_FROM else number


def _iso_seconds(text: str) -> float | None:
    # datetime.fromisoformat() requires 3 or 6 digits until Python 3.11
    text = _ISO_FRACTION.sub(lambda match: match[0][:7].ljust(7, "0"), text.strip())
    if text.endswith(("Z", "z")):  # accepted by fromisoformat() since Python 3.11
        text = text[:-1] + "+00:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()
