"""A bounce mail in parts: header fields, human text, reports, the returned mail."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.utils import getaddresses
from html import unescape
from itertools import islice
from string import ascii_letters, digits

from sendgrid_bounces.core.charsets import is_charset
from sendgrid_bounces.sources.mime import POLICY

#: Limits against hostile mail: bytes and lines of a mail; characters of a part, of all
#: text, of all HTML, of a line and of a header field; parts; nested parts.
MAX_BYTES, MAX_LINES = 1024 * 1024, 20_000
MAX_TEXT, MAX_LINE = 64 * 1024, 4_000
MAX_PARTS, MAX_DEPTH = 100, 20

MAX_FIELD = 4_000

#: The letters of an address (RFC 5322, 3.2.3).
ADDRESS_LETTERS = f"{ascii_letters}{digits}.!#$%&'*+/=?^_`{{|}}~@-"

#: The parser compares each line with the boundaries of all open parts, so a mail with
#: many multiparts may have fewer lines.
_MAX_COMPARISONS = 400_000

#: Fields of one name that addresses are read from, characters of such fields of all
#: names, and parts of HTML.
_MAX_FIELDS, _MAX_ADDRESS_TEXT, _MAX_HTML = 10, 16_000, 10

#: Characters between the tags of a style or script.
_MAX_ELEMENT = 20_000

#: Attached mails and reports are read as text: nothing in them is a part of this mail,
#: and they cannot nest.
_ATTACHED = re.compile(rb"^(content-type[ \t]*:\s{0,9})message/", re.I | re.M)
_BOUNDARY = re.compile(
    rb"^--([^\n]{1,200}?)[ \t]*\n(?=content-[a-z-]{1,40}[ \t]*:)", re.I | re.M
)
_MULTIPART = re.compile(rb"^content-type[ \t]*:\s{0,9}multipart/", re.I | re.M)
_MBOX_LINE = re.compile(rb"\A(?:>?From [^\n]*\n)+")
_MESSAGE_ID = re.compile(r"^message-id:\s*(\S+)", re.I | re.M)

_REPORT_TYPES = {
    "text/x-delivery-status",
    "text/x-global-delivery-status",
    "text/x-xdelivery-status",
}
_RETURNED_TYPES = {
    "text/x-rfc822",
    "text/x-global",
    "text/x-partial",
    "text/rfc822",
    "text/rfc822-headers",
    "text/x-rfc822-headers",
    "text/x-global-headers",
}
_OPENING = re.compile(r"<(?:style|script)\b", re.I)
_CLOSING = re.compile(r"</(?:style|script)>", re.I)
_TAG = re.compile(r"<[^<>@]{0,2000}>")
_BREAKS = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6])\b[^<>]{0,200}>", re.I)


#: Errors of the standard library for broken mails, also when a parameter of a header
#: field is read from a mail that was parsed.
MIME_ERRORS = (MessageError, ValueError, LookupError, TypeError, AttributeError)


@dataclass
class Mail:
    """A mail, as far as a bounce reader needs it.

    :param texts: the parts that a person reads.
    :param reports: the delivery-status parts (RFC 3464).
    :param returned: header fields of the returned mail; empty if it is missing.
    :param attached: the first attached mail.
    :param part_types: the content types of all parts.
    """

    headers: Message
    texts: list[str] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    returned: str = ""
    attached: str = ""
    part_types: set[str] = field(default_factory=set)

    def header(self, name: str) -> str:
        """Return the first header field *name*, decoded and on one line."""
        return decode_words(cut(str(self.headers.get(name, "")), MAX_FIELD))

    def all(self, name: str) -> str:
        """Return the first header fields *name*, separated by commas."""
        values = self.headers.get_all(name, [])[:_MAX_FIELDS]
        return cut(",".join(map(str, values)), MAX_TEXT)

    def addresses(self, *names: str) -> set[str]:
        """Return the addresses in the header fields *names*, in small letters.

        Only the first fields of each name are read, and a limited text of all.
        """
        values, room = [], _MAX_ADDRESS_TEXT
        for name in names:
            for value in self.headers.get_all(name, [])[:_MAX_FIELDS]:
                text = cut(str(value), MAX_FIELD)
                values.append(cut(text, room))
                room -= min(len(text), room)
        return split_addresses(values)

    @property
    def is_wrapped(self) -> bool:
        """Whether a gateway attached the mail to a copy of the mail's own header."""
        inner = _MESSAGE_ID.search(self.returned)
        return inner is not None and inner[1] == self.header("Message-ID")

    @property
    def text(self) -> str:
        """The beginning of the human text, of all parts together."""
        return cut("\n".join(self.texts), MAX_TEXT)


def parse(raw: bytes) -> Mail:
    """Return the mail in *raw*; only its first :data:`MAX_BYTES` are read.

    :raises RecursionError: if it nests too deeply.
    :raises: one of :data:`MIME_ERRORS` if the parser gives up.
    """
    message = _parse_message(normalize(raw))
    mail = Mail(message)
    parts = list(islice(_parts(message), MAX_PARTS))
    for part in parts:
        _sort_part(mail, part)
    if not any(mail.texts):
        mail.texts = [strip_tags(cut("\n".join(_html_texts(parts)), MAX_TEXT))]
    return mail


def normalize(raw: bytes) -> bytes:
    """Return *raw* with LF line ends and without an mbox line, cut to a length."""
    raw = cut_lines(raw, MAX_BYTES).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    raw = b"\n".join(raw.split(b"\n", MAX_LINES)[:MAX_LINES])
    return _MBOX_LINE.sub(b"", raw.lstrip())


def _flatten(raw: bytes) -> bytes:
    """Return *raw* with its attached mails and reports declared as text."""
    return _ATTACHED.sub(rb"\1text/x-", raw)


def cut_lines(raw: bytes, most: int) -> bytes:
    """Return the whole lines in the first *most* bytes of *raw*."""
    return raw if len(raw) <= most else raw[:most].rpartition(b"\n")[0]


def cut(text: str, most: int) -> str:
    """Return the first *most* characters of *text* without the letters at their end.

    The beginning of an address can be an address, too.
    """
    if len(text) <= most:
        return text
    return text[:most].rstrip(ADDRESS_LETTERS)


def decode_words(text: str) -> str:
    """Return *text* with encoded words (RFC 2047) decoded, on one line.

    Text of an unknown encoding is read as Latin-1.
    """
    if "=?" in text:
        with suppress(MessageError, ValueError, LookupError):
            words = [
                (word, charset if charset is None or is_charset(charset) else "latin-1")
                for word, charset in decode_header(text)
            ]
            text = str(make_header(words))
    return " ".join(text.split())


def split_addresses(values: list[str]) -> set[str]:
    """Return the addresses in header field *values*, in small letters.

    The standard library parses an address group in quadratic time, so the beginning of
    each field is parsed by itself.
    """
    found: set[str] = set()
    for value in values:
        with suppress(RecursionError):  # nested comments
            pairs = getaddresses([cut(value, MAX_FIELD)])
            found.update(address.lower() for _, address in pairs if "@" in address)
    return found


def strip_tags(text: str) -> str:
    """Return the text of an HTML document; addresses in angle brackets are kept."""
    *pieces, last = _CLOSING.split(_BREAKS.sub("\n", text))
    pieces = [*map(_before_element, pieces), last]
    return unescape(" ".join(_TAG.sub(" ", piece) for piece in pieces))


def _before_element(text: str) -> str:
    """Return *text* without the style or script at its end, if there is one."""
    opening = _OPENING.search(text, max(0, len(text) - _MAX_ELEMENT))
    return text[: opening.start()] if opening else text


def _parse_message(raw: bytes) -> Message:
    flat = _flatten(raw)
    if number := len(_MULTIPART.findall(flat)):
        flat = b"\n".join(flat.split(b"\n")[: _MAX_COMPARISONS // number])
    message = BytesParser(policy=POLICY).parsebytes(flat)
    if message.get_content_maintype() != "multipart" or message.is_multipart():
        return message
    match = _BOUNDARY.search(flat, flat.find(b"\n\n") + 1)
    if match is None:
        return message
    repaired = _with_boundary(flat, match[1])
    return BytesParser(policy=POLICY).parsebytes(repaired)


def _with_boundary(raw: bytes, boundary: bytes) -> bytes:
    """Return *raw* with a boundary that occurs in the body."""
    head, _, body = raw.partition(b"\n\n")
    head = re.sub(rb"^content-type[ \t]*:", b"X-Content-Type:", head, flags=re.I | re.M)
    kind = b'Content-Type: multipart/report; boundary="' + boundary + b'"\n'
    return kind + head + b"\n\n" + body


def _parts(message: Message, depth: int = 0) -> Iterator[Message]:
    """Yield the leaves of *message*, down to :data:`MAX_DEPTH`."""
    if not message.is_multipart():
        yield message
        return
    if depth >= MAX_DEPTH:
        raise RecursionError
    if isinstance(message.preamble, str) and "recipient" in message.preamble.lower():
        yield _text_part(message.preamble)
    for part in message.get_payload():
        if isinstance(part, Message):
            yield from _parts(part, depth + 1)


def _text_part(text: str) -> Message:
    part = Message()
    part.set_payload(text)
    return part


def _sort_part(mail: Mail, part: Message) -> None:
    kind = part.get_content_type()
    mail.part_types.add(kind)
    if kind in _REPORT_TYPES:
        mail.reports.append(_decode(part, MAX_BYTES))
    elif kind in _RETURNED_TYPES:
        mail.attached = mail.attached or _decode(part).lstrip("\n")
        mail.returned = mail.attached.partition("\n\n")[0]
    elif kind == "text/plain" or part.get_content_maintype() == "multipart":
        mail.texts.append(_decode(part))


def _html_texts(parts: list[Message]) -> Iterator[str]:
    pages = (p for p in parts if p.get_content_type() == "text/html")
    return map(_decode, islice(pages, _MAX_HTML))


def _decode(part: Message, most: int = MAX_TEXT) -> str:
    """Return the text of *part*, cut to *most* characters, and each line cut."""
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset() or "utf-8"
    try:
        if not is_charset(charset):
            charset = "latin-1"
        text = data[: 4 * most].decode(charset, "replace")
    except (LookupError, ValueError):  # unknown, or without "replace"
        text = data[: 4 * most].decode("latin-1")
    lines = cut(text, most).split("\n")
    return "\n".join(cut(line, MAX_LINE) for line in lines)
