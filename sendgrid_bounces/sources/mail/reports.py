"""Delivery status notifications (RFC 3464), read tolerantly."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sendgrid_bounces.sources.mail.addresses import read_recipient
from sendgrid_bounces.sources.status import choose_status, find_code, find_status

#: Reports that are read of a mail.
MAX_REPORTS = 1_000

#: Fields of a recipient. All other fields of a report are about the whole mail.
_FIELD = re.compile(
    r"^[ \t>]{0,8}(Original-Recipient|Final-Recipient|X-Actual-Recipient|Action|Status"
    r"|Diagnostic-Code|X-Supplementary-Info|X400-Supplementary-Info)[ \t]*:[ \t]*(.*)$",
    re.IGNORECASE,
)
_RECIPIENTS = ("original-recipient", "x-actual-recipient", "final-recipient")
_DIAGNOSTIC_TYPE = re.compile(
    r"^\s*(?:smtp|x-[\w.-]+|x400|dns|unknown|local)\s*;\s*", re.I
)

_WORD = re.compile(r"\s*([a-z]+)")

#: Outcomes by action; another action counts by the class of its status.
_OUTCOMES = {
    "delivered": "delivered",
    "relayed": "delivered",
    "expanded": "delivered",
    "deliverable": "delivered",
    "delayed": "delayed",
    "delay": "delayed",
    "deferred": "delayed",
    "failed": "failed",
    "failure": "failed",
    "fail": "failed",
    "error": "failed",
    "expired": "failed",
    "undeliverable": "failed",
}


@dataclass(frozen=True)
class RecipientReport:
    """The report on a recipient.

    :param outcome: ``failed``, ``delayed`` or ``delivered``.
    :param original: the address that the mail was sent to; empty if unknown.
    :param final: the address that delivery failed for, after forwarding; may be empty.
    :param is_unreadable: whether there is a recipient, but no address.
    """

    outcome: str
    original: str
    final: str
    status: str
    code: str
    reason: str
    is_unreadable: bool = False

    def email(self, prefer: str) -> str:
        """Return the original or final address as *prefer* demands, else the other."""
        first, second = self.original, self.final
        return (second or first) if prefer == "final" else (first or second)


def read_reports(texts: list[str]) -> list[RecipientReport]:
    """Return the reports on recipients in the delivery-status parts *texts*.

    Only the first :data:`MAX_REPORTS` are read.
    """
    blocks = (block for text in texts for block in _blocks(text))
    return [_report(block) for block in islice(blocks, MAX_REPORTS)]


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each recipient, names in small letters.

    A recipient ends at a blank line, or where a field repeats. A block without a
    recipient completes the block before.
    """
    blocks: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for name, value in [*_fields(text), ("", "")]:
        if name and name not in current:
            current[name] = value
            continue
        if _continues(blocks, current):
            blocks[-1] = {**current, **blocks[-1]}
        elif current:
            blocks.append(current)
        current = {name: value} if name else {}
    for block in blocks:
        if any(name in block for name in _RECIPIENTS) or "action" in block:
            yield block


def _continues(blocks: list[dict[str, str]], block: dict[str, str]) -> bool:
    """Whether *block* completes the last of *blocks*."""
    has_recipient = any(name in block for name in _RECIPIENTS)
    return (
        bool(blocks)
        and not has_recipient
        and not {"action", "status"} & blocks[-1].keys()
    )


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Yield the unfolded recipient fields of *text*, empty for blank lines."""
    name, value = "", ""
    for line in text.split("\n"):
        match = _FIELD.match(line)
        if not match and name and line[:1] in " \t" and line.strip():
            value += " " + line.strip()
            continue
        if name:
            yield name, value
        name, value = (match[1].lower(), match[2].strip()) if match else ("", "")
        if not line.strip():
            yield "", ""
    if name:
        yield name, value


def _report(block: dict[str, str]) -> RecipientReport:
    diagnostic = _DIAGNOSTIC_TYPE.sub("", block.get("diagnostic-code", ""))
    details = diagnostic + " " + block.get("x400-supplementary-info", "")
    field, code = find_status(block.get("status", "")), find_code(details)
    given = [block.get(name, "") for name in _RECIPIENTS]
    original, actual, final = map(read_recipient, given)
    return RecipientReport(
        outcome=_outcome(block),
        original=original,
        final=actual or final,
        status=choose_status(field, find_status(details), code),
        code=code or find_code(block.get("status", "")),
        reason=diagnostic,
        is_unreadable=any(given) and not (original or actual or final),
    )


def _outcome(block: dict[str, str]) -> str:
    """Return the outcome by the first word of the action, else by the status."""
    word = _WORD.match(block.get("action", "").lower())
    if word and word[1] in _OUTCOMES:
        return _OUTCOMES[word[1]]
    return "delivered" if block.get("status", "").startswith("2") else "failed"
