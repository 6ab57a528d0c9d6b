"""A second opinion from flufl.bounce (extra ``mail``), which knows many systems."""

import logging
from collections.abc import Iterable
from email import message_from_bytes
from email.message import Message
from importlib.util import find_spec

from sendgrid_bounces.sources.mail.addresses import find_addresses
from sendgrid_bounces.sources.mail.message import MAX_LINE, MAX_TEXT

LOGGER = logging.getLogger(__name__)

#: flufl.bounce scans each line about sixty times, and logs errors that it raises too.
_MAX_LINES = 1_000
logging.getLogger("flufl.bounce").addHandler(logging.NullHandler())


def is_installed() -> bool:
    """Whether flufl.bounce can be imported."""
    try:
        return find_spec("flufl.bounce") is not None
    except ModuleNotFoundError:
        return False


def find_with_flufl(raw: bytes) -> tuple[list[str], list[str]]:
    """Return the addresses with permanent failures, and those with delays.

    :param raw: a normalized mail.
    """
    if not is_installed():
        return [], []
    from flufl.bounce import all_failures

    lines = raw[:MAX_TEXT].split(b"\n")[:_MAX_LINES]
    short = b"\n".join(line[:MAX_LINE] for line in lines)
    try:
        temporary, permanent = all_failures(
            _without_returned(message_from_bytes(short))
        )
    except Exception as error:  # noqa: BLE001 - its detectors assume well-formed mails
        LOGGER.info("flufl.bounce could not read a mail: %r", error)
        return [], []
    return _texts(permanent), _texts(temporary)


def _without_returned(message: Message) -> Message:
    """Empty the attached mails: a bounce that was forwarded is not a bounce."""
    for part in list(message.walk()):
        if part.get_content_type() == "message/rfc822" and part.is_multipart():
            part.set_payload([Message()])
    return message


def _texts(addresses: Iterable[bytes]) -> list[str]:
    """Return the well-formed *addresses* as sorted text."""
    texts = sorted(address.decode("utf-8", "replace") for address in addresses)
    return [text for text in texts if find_addresses(text) == [text]]
