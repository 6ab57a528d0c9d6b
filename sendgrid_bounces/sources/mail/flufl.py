"""A second opinion from flufl.bounce (extra ``mail``), which knows many systems."""

import logging
import re
from collections.abc import Iterable
from email import message_from_bytes
from email.message import Message
from importlib.util import find_spec
from itertools import islice

from sendgrid_bounces.sources.mail.addresses import find_addresses
from sendgrid_bounces.sources.mail.message import ADDRESS_LETTERS, MAX_TEXT, cut_lines
from sendgrid_bounces.sources.mime import ShortPolicy

LOGGER = logging.getLogger(__name__)

#: Bounds on the work of flufl.bounce, which scans each line about sixty times: bytes
#: and lines of the mail, lines of a part, and bytes that it gets of a line. Some of its
#: regular expressions take cubic time in the length and in the addresses of a line.
_MAX_BYTES, _MAX_LINES = MAX_TEXT, 1_000
_LINE = re.compile(rb"[^@<]{0,250}(?:[@<][^@<]{0,250}){0,4}")
_MAX_LINE = 250
_BLANKS = re.compile(rb"[ \t]{9,}")
_WORD = ADDRESS_LETTERS.encode()
_POLICY = ShortPolicy()

# flufl.bounce logs the errors that it raises, too.
logging.getLogger("flufl.bounce").addHandler(logging.NullHandler())


def is_installed() -> bool:
    """Whether flufl.bounce can be imported."""
    try:
        return find_spec("flufl.bounce") is not None
    except ModuleNotFoundError:
        return False


def find_with_flufl(raw: bytes) -> tuple[list[str], list[str]]:
    """Return the addresses with permanent failures, and the addresses with delays.

    :param raw: a normalized mail.
    """
    if not is_installed():
        return [], []
    from flufl.bounce import all_failures

    try:
        temporary, permanent = all_failures(_parse(raw))
    except Exception as error:  # noqa: BLE001 - its detectors assume well-formed mails
        LOGGER.info("flufl.bounce could not read a mail: %r", error)
        return [], []
    return _texts(permanent), _texts(temporary)


def _parse(raw: bytes) -> Message:
    """Return the mail, decoded and with short lines.

    Attached mails are emptied: a bounce that was forwarded is not a bounce.
    """
    lines = cut_lines(raw, _MAX_BYTES).split(b"\n")[:_MAX_LINES]
    message = message_from_bytes(b"\n".join(lines), policy=_POLICY)
    for part in list(message.walk()):
        if part.get_content_type() == "message/rfc822" and part.is_multipart():
            part.set_payload([Message()])
        elif not part.is_multipart():
            payload = part.get_payload(decode=True)
            text = _shorten(payload if isinstance(payload, bytes) else b"")
            del part["Content-Transfer-Encoding"]
            part.set_payload(text.decode("ascii", "surrogateescape"))
    return message


def _shorten(data: bytes) -> bytes:
    """Return the beginnings of the first lines, without the rest of a word."""
    lines = []
    data = _BLANKS.sub(b" " * 8, data)  # some expressions search each of them
    for line in islice(data.split(b"\n"), _MAX_LINES):
        found = _LINE.match(line)
        short = found[0][:_MAX_LINE] if found else b""
        lines.append(line if line == short else short.rstrip(_WORD))
    return b"\n".join(lines)


def _texts(addresses: Iterable[bytes]) -> list[str]:
    """Return the well-formed *addresses* as sorted text."""
    texts = sorted(address.decode("utf-8", "replace") for address in addresses)
    return [text for text in texts if find_addresses(text) == [text]]
