"""A parsed mail, and the values that several steps of reading use."""

import hashlib
import re
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Literal

from sendgrid_bounces.sources.events import BounceEvent, Permanence, bounce_event
from sendgrid_bounces.sources.mail.message import Mail, cut, parse, split_addresses
from sendgrid_bounces.sources.mail.reports import RecipientReport, read_reports
from sendgrid_bounces.sources.mail.text import Passages, split_returned

#: The Date of a report is used if it is within this many seconds of its receipt.
MAX_SKEW = 7 * 86_400

Recipient = Literal["original", "final"]

_OWN_HEADERS = (
    "From",
    "To",
    "Cc",
    "Sender",
    "Reply-To",
    "Return-Path",
    "Delivered-To",
    "Envelope-To",
    "Errors-To",
)
_ADDRESS_FIELD = re.compile(
    r"^[ \t>]{0,4}(to|cc|from|sender|return-path|reply-to)[ \t]*:"
    r"([^\n]{0,1000}(?:\n[ \t]+[^\n]{0,1000}){0,20})",
    re.IGNORECASE | re.MULTILINE,
)
_RECIPIENT_FIELDS = {"to", "cc"}
_MAX_HEADER = 16_384


@dataclass(frozen=True)
class Options:
    """How to read mails.

    :param now: Unix time of receipt.
    :param recipient: the address to take where forwarding changed it.
    :param verp: form of the envelope addresses, as compiled by ``compile_verp``.
    """

    now: int
    recipient: Recipient = "original"
    verp: re.Pattern[str] | None = None


class Context:
    """A mail and its parts in the forms that several steps need.

    :param text: the human text without the returned mail.
    """

    def __init__(self, raw: bytes, options: Options) -> None:
        self.raw, self.options = raw, options
        self.mail: Mail = parse(raw)
        self.text, self._below = split_returned(self.mail.text)

    @cached_property
    def reports(self) -> list[RecipientReport]:
        """The reports on recipients in delivery status notifications."""
        return read_reports(self.mail.reports)

    @cached_property
    def passages(self) -> Passages:
        """The passages of the human text."""
        return Passages(self.text)

    @cached_property
    def addressed(self) -> set[str]:
        """The recipients of the returned mail, in small letters."""
        return self._returned_addresses(are_recipients=True)

    @cached_property
    def strangers(self) -> set[str]:
        """The addresses that belong to the sender or to the mail system."""
        own = self.mail.addresses(*_OWN_HEADERS)
        senders = self._returned_addresses(are_recipients=False)
        return (own | senders) - self.addressed

    def event(
        self,
        email: str,
        *,
        status: str,
        code: str,
        reason: str,
        is_delayed: bool,
        is_temporary: bool = False,
    ) -> BounceEvent:
        """Return the event of a recipient.

        :param is_temporary: class of a failure without status and code.
        :raises EventError: if *email* is not an address.
        """
        permanence = None
        if is_delayed:
            permanence = Permanence.NOT_LISTED
        elif is_temporary and not status and not code:
            permanence = Permanence.TEMPORARY
        return bounce_event(
            email,
            status=status,
            code=code,
            reason=reason,
            created=self._created,
            key=f"mail {self._key} {email.lower()}",
            permanence=permanence,
            note="delayed" if is_delayed else "",
        )

    @cached_property
    def _created(self) -> int:
        now = self.options.now
        try:
            date = parsedate_to_datetime(self.mail.header("Date"))
            if date.tzinfo is None:  # no zone, or -0000 (RFC 5322, 3.3)
                date = date.replace(tzinfo=timezone.utc)
            created = int(date.timestamp())
        except (TypeError, ValueError, OverflowError):
            return now
        return created if abs(created - now) <= MAX_SKEW else now

    @cached_property
    def _key(self) -> str:
        return self.mail.header("Message-ID") or hashlib.sha256(self.raw).hexdigest()

    def _returned_addresses(self, *, are_recipients: bool) -> set[str]:
        header = cut(self.mail.returned or self._below, _MAX_HEADER)
        return split_addresses(
            [
                match[2]
                for match in _ADDRESS_FIELD.finditer(header)
                if (match[1].lower() in _RECIPIENT_FIELDS) is are_recipients
            ]
        )
