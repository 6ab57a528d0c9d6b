"""Status codes in free text (RFC 3463), reply codes (RFC 5321), and their choice."""

import re

#: An enhanced status code; not a part of an IP address or of a version number.
_ENHANCED = re.compile(r"(?<![\w.])([45]\.[0-9]{1,3}\.[0-9]{1,3})(?![\w]|\.[0-9])")

#: A reply code; not a port, a size or a part of another number.
_REPLY = re.compile(
    r"(?<![\w.,@/+-])(?<![0-9]:)([45][0-5][0-9])(?=$|[\s;:,.\)\]'\"-])"
    r"(?!\s+(?:bytes|[KM]B|seconds|minutes|hours|messages)\b)(?!\.[0-9])"
)

#: Statuses without information beyond their class, and "delivery time expired", which
#: hides the reason of the last attempt.
_VAGUE = re.compile(r"[45]\.0\.0|[45]\.4\.7")

#: Words for a failure that may pass, in texts without any code.
_TEMPORARY = re.compile(
    r"""
    \bquota
    | (?:mail\s?box|mailfolder|inbox|disk|storage)[^.\n]{0,60}\b(?:full|exceed|limit)
    | exceed[^.\n]{0,45}\b(?:storage|mailbox|space|limit)
    | \bfull\s+(?:mailbox|inbox)
    | insufficient\s+(?:system\s+)?(?:storage|disk|resources)
    | time[d-]?\s?out | \bexpired\b | connection\s+(?:refused|reset|dropped|lost|closed)
    | (?:did\s+not|not)\s+(?:respond|accept\s+our\s+requests)
    | temporar(?:y|ily) | try\s+(?:again\s+)?later | too\s+many\s+connections
    | could\s+not\s+connect | unable\s+to\s+(?:connect|contact) | unreachable
    | no\s+route\s+to\s+host | retry\s+time | for\s+\d+\s+(?:hours|days)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def find_status(text: str) -> str:
    """Return the first enhanced status code of class 4 or 5 in *text*, if any.

    A code that is more than its class wins over an earlier ``5.0.0``.
    """
    first = ""
    for match in _ENHANCED.finditer(text):
        if not match[1].endswith(".0.0"):
            return match[1]
        first = first or match[1]
    return first


def find_code(text: str) -> str:
    """Return the first reply code of class 4 or 5 in *text*, or an empty text."""
    match = _REPLY.search(text)
    return match[1] if match else ""


def is_vague(status: str) -> bool:
    """Whether *status* is missing, or only its class is known."""
    return not status or status.endswith(".0.0")


def choose_status(field: str, diagnostic: str, code: str) -> str:
    """Return the more specific of the Status field and the diagnostic's status.

    :param code: reply code; decides the class if neither status is specific.
    """
    if _detail(field) > 1 and diagnostic[:1] != field[:1]:
        return field
    status = max(field, diagnostic, key=_detail)
    if status.endswith(".0.0") and code and code[0] != status[0]:
        return f"{code[0]}.0.0"
    return status


def _detail(status: str) -> int:
    """Rank a status: RFC 3463 reserves the detail 0 for "other or undefined"."""
    if not status:
        return 0
    if _VAGUE.fullmatch(status):
        return 1
    return 2 if status.endswith(".0") else 3


def guess_status(text: str) -> str:
    """Return ``4.0.0`` or ``5.0.0`` by the words in *text*."""
    return "4.0.0" if _TEMPORARY.search(text) else "5.0.0"
