"""Implausible bounces: stored, as by the services, but reported."""

import re

from sendgrid_bounces.core.addresses import is_address
from sendgrid_bounces.core.bounces import Bounce

#: An enhanced status code (RFC 3463) or a reply code. Services have codes up to 699.
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}|[2-6][0-9]{2}")
_CODE = re.compile("[2-6][0-9]{2}")

EMAIL_RULE = "is not an e-mail address"
STATUS_RULE = "is neither a status such as 5.1.1 nor a reply code such as 550"
CODE_RULE = "is not a reply code such as 550"


def find_doubts(bounce: Bounce) -> list[tuple[str, str]]:
    """Return pairs of field and message about the implausible fields of *bounce*."""
    doubts = []
    if not is_address(bounce.email):
        doubts.append(("email", EMAIL_RULE))
    if not _STATUS.fullmatch(bounce.status) and bounce.status != bounce.code:
        doubts.append(("status", STATUS_RULE))
    if not _CODE.fullmatch(bounce.code):
        doubts.append(("code", CODE_RULE))
    return doubts
