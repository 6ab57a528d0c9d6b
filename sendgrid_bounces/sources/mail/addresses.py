"""Addresses in reports and in free text."""

import re

from sendgrid_bounces.sources.events import EventError, clean_email
from sendgrid_bounces.sources.mail.message import cut, decode_words

#: An address in free text. Both sides are bounded, and the local part cannot begin
#: inside a longer word, so that the search takes linear time. Mail archives mask local
#: parts with three dots.
ADDRESS = re.compile(
    r"""
    (?<![\w.+=@-])
    (?P<email>
      \w [\w.!\#$%&'*+/=?^`{|}~-]{0,127}
      (?<!\.\.\.) @
      \w[\w-]{0,62} (?:\.[\w-]{1,63}){0,9} \.[A-Za-z](?:[\w-]{0,61}[A-Za-z0-9])?
    )
    (?![@\w])
    """,
    re.VERBOSE | re.ASCII,
)
_TYPE = re.compile(
    r"^(?:\s*(?:rfc/?822|utf-8|smtp|x-[\w-]+|local|unknown|internet)\s*;)+\s*", re.I
)
_OTHER_TYPE = re.compile(r"^\s*(?:x\.?400|fax|x500)\s*;", re.I)
_COMMENT = re.compile(r"\([^()]{0,300}\)\s*$")
_ROUTE = re.compile(r"^@[^:@]{1,255}(?:,@[^:@]{1,255}){0,9}:")
_ROLE = re.compile(
    r"(?:mailer-?daemon|postmaster|abuse|hostmaster|no-?reply|do-?not-?reply|mdaemon"
    r"|majordomo|root|double-bounce)(?:[+-][^@]*)?@",
    re.I,
)


def read_recipient(value: str) -> str:
    """Return the address in a recipient field of a report, or an empty text.

    Accepts ``rfc822; user@host``, other address types of mail, no type, angle brackets,
    comments, encoded words and source routes (``@gateway:user@host``).
    """
    if _OTHER_TYPE.match(value):
        return ""
    text = _COMMENT.sub("", decode_words(_TYPE.sub("", cut(value, 1_000)))).strip()
    if "<" in text and (match := re.search(r"<([^<>]{1,400})>", text)):
        text = match[1]
    text = _ROUTE.sub("", text.strip(" <>,;\"'"))
    if text.startswith(("/", "|")) or "...@" in text:
        return ""
    try:
        return clean_email(text.removeprefix("mailto:"))
    except EventError:
        return ""


def find_addresses(text: str) -> list[str]:
    """Return the addresses in *text*, in order, without duplicates."""
    found = (match["email"] for match in ADDRESS.finditer(text))
    return list(dict.fromkeys(found))


def is_role(email: str) -> bool:
    """Whether *email* belongs to a mail system rather than to a recipient."""
    return bool(_ROLE.match(email))
