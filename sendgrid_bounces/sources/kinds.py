"""The kinds of sources that post requests, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sendgrid_bounces.sources import mailgun, postmark, sendgrid, ses
from sendgrid_bounces.sources.events import Batch
from sendgrid_bounces.sources.mail import read_mail
from sendgrid_bounces.sources.verification import Secrets, verify_token

#: Maximum size of a request body in bytes. Mail systems accept mails of 10 MB.
MAX_BODY = 16 * 1024 * 1024

#: The same for SendGrid's batches of events, which have some hundred kilobytes.
MAX_BATCH_BODY = 4 * 1024 * 1024

#: The same for kinds whose signature stands in the body, which is parsed before it is
#: verified. Their requests have one message, which Amazon limits to 256 KiB.
MAX_UNVERIFIED_BODY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source.

    Both functions take the raw body, the header fields and the Unix time of receipt.

    :param verify: checks a request; raises ``SignatureError`` or ``PayloadError``.
    :param parse: returns the events of a verified request; raises ``PayloadError``.
    :param max_body: the maximum size of a body in bytes.
    """

    verify: Callable[[bytes, Mapping[str, str], Secrets, int], None]
    parse: Callable[[bytes, Mapping[str, str], int], Batch]
    max_body: int = MAX_BODY


def _verify_mail(
    body: bytes, headers: Mapping[str, str], secrets: Secrets, now: int
) -> None:
    verify_token(headers, secrets.token)


def _parse_mail(body: bytes, headers: Mapping[str, str], now: int) -> Batch:
    return read_mail(body, now)


KINDS = {
    "mail": Kind(_verify_mail, _parse_mail),
    "mailgun": Kind(mailgun.verify, mailgun.parse, MAX_UNVERIFIED_BODY),
    "postmark": Kind(postmark.verify, postmark.parse),
    "sendgrid": Kind(sendgrid.verify, sendgrid.parse, MAX_BATCH_BODY),
    "ses": Kind(ses.verify, ses.parse, MAX_UNVERIFIED_BODY),
}
