"""Variable envelope return paths: bounces addressed to an encoded recipient."""

import re

from sendgrid_bounces.sources.mail.message import Mail

_HEADERS = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To")
_FIELDS = {
    "{local}": r"(?P<local>[^@\s]{1,128})",
    "{domain}": r"(?P<domain>[\w.-]{1,255})",
}


def compile_verp(pattern: str) -> re.Pattern[str]:
    """Compile a pattern such as ``bounces+{local}={domain}@lists.example.com``.

    :raises ValueError: if *pattern* lacks a placeholder or the address's ``@``.
    """
    parts = re.split(r"(\{local\}|\{domain\})", pattern)
    if sorted(parts[1::2]) != ["{domain}", "{local}"] or "@" not in pattern:
        raise ValueError(
            "must be an address with {local} and {domain}, such as"
            " bounces+{local}={domain}@example.com"
        )
    return re.compile(
        "".join(_FIELDS.get(p) or re.escape(p) for p in parts), re.IGNORECASE
    )


def find_verp(mail: Mail, pattern: re.Pattern[str]) -> str:
    """Return the recipient in the first address of *mail* that matches *pattern*."""
    for address in sorted(mail.addresses(*_HEADERS)):
        if match := pattern.fullmatch(address):
            return f"{match['local']}@{match['domain']}"
    return ""
