"""Documents as bytes: a pair of serializers, JSON and XML, that know every document.

Each is a table from document classes to what writes them. A document becomes pieces of
bytes; a list comes in a piece for each batch of its rows, so that a long one is never
held whole, and every row of it is written by one function.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from lxml import etree
from lxml.builder import E

from sendgrid_bounces.dialects.sendgrid.documents import (
    BounceListing,
    Count,
    Document,
    ErrorCode,
    ErrorList,
    ErrorText,
    Message,
)
from sendgrid_bounces.dialects.sendgrid.markup import clean, escape

Pieces = Iterator[bytes]

#: Writes a row from status, created (None if not asked for), reason and email.
RowWriter = Callable[[str, str | None, str, str], str]


def write_rows(
    listing: BounceListing, write: RowWriter, opening: str, between: str, closing: str
) -> Pieces:
    """Yield *listing* in pieces: each row by *write*, with what goes around them."""
    render = listing.clock.render if listing.clock else lambda instant: None
    before = opening
    for rows in listing.batches:
        texts = [
            write(status, render(created), reason, email)
            for email, status, _code, reason, created, _reported, _id in rows
        ]
        yield (before + between.join(texts)).encode("ascii", "xmlcharrefreplace")
        before = between
    yield (opening + closing if before is opening else closing).encode()


@dataclass(frozen=True, slots=True)
class JSONSerializer:
    """A face's JSON, ASCII only.

    :param separators: as :func:`json.dumps` takes them: after an item, after a key.
    :param write_row: writes a row, its keys in the face's order.
    :param slash: how it writes a slash, which JSON allows to escape.
    """

    separators: tuple[str, str]
    write_row: RowWriter
    slash: str = "/"

    def pieces(self, document: Document) -> Pieces:
        """Yield the bytes of *document*."""
        if isinstance(document, BounceListing):
            return write_rows(document, self.write_row, "[", self.separators[0], "]")
        plain = PLAIN[type(document)](document)
        text = json.dumps(plain, separators=self.separators)
        return iter([text.replace("/", self.slash).encode()])


#: The JSON of every document but a list, as Python writes it.
PLAIN: Mapping[type[Document], Callable[[Any], Any]] = {
    Count: lambda document: {"count": document.count},
    Message: lambda document: {"message": document.message},
    ErrorList: lambda document: {"message": "error", "errors": document.errors},
    ErrorCode: lambda document: {
        "error": {"code": document.code, "message": document.message}
    },
    ErrorText: lambda document: {"error": document.error},
}


def write_direct_row(status: str, created: str | None, reason: str, email: str) -> str:
    """Return the JSON of a row of the direct calls.

    Wire: the order of the keys is that of bounces.get's documentation.
    """
    when = f'"created": "{created}", ' if created else ""
    return (
        f'{{"status": {quote(status)}, {when}'
        f'"reason": {quote(reason)}, "email": {quote(email)}}}'
    )


def write_reseller_row(
    status: str, created: str | None, reason: str, email: str
) -> str:
    """Return the JSON of a row of the resellers' dispatcher.

    Wire: the order of the keys is that of Customer Bounces' documentation; that it is
    compact, and a slash escaped, is recorded of its sister calls.
    """
    when = f',"created":"{created}"' if created else ""
    row = (
        f'{{"email":{quote(email)},"status":{quote(status)},"reason":{quote(reason)}'
        f"{when}}}"
    )
    return row.replace("/", "\\/")


class XMLSerializer:
    """The XML of all faces: a declaration of ISO-8859-1, then nothing beyond ASCII.

    Wire: the declaration and the elements are those of SendGrid's documentation. That
    other characters are references is inferred: every parser reads them alike.
    """

    def pieces(self, document: Document) -> Pieces:
        """Yield the bytes of *document*."""
        if isinstance(document, BounceListing):
            return write_rows(document, write_xml_row, OPENING, "", CLOSING)
        root = ELEMENTS[type(document)](document)
        return iter([(DECLARATION + _markup(root)).encode()])


#: The XML of every document but a list, as lxml writes it.
ELEMENTS: Mapping[type[Document], Callable[[Any], etree._Element]] = {
    Count: lambda document: E.result(E.count(str(document.count))),
    Message: lambda document: _result(document.message),
    ErrorList: lambda document: _result("error: " + "; ".join(document.errors)),
    ErrorCode: lambda document: _result(f"error: {document.message or document.code}"),
    ErrorText: lambda document: _result("error: " + document.error),
}


def write_xml_row(status: str, created: str | None, reason: str, email: str) -> str:
    """Return a row as XML, equal to lxml's once it is encoded."""
    when = f"<created>{created}</created>" if created else ""
    return (
        f"<bounce><email>{escape(email)}</email><status>{escape(status)}</status>"
        f"<reason>{escape(reason)}</reason>{when}</bounce>"
    )


def _result(message: str) -> etree._Element:
    result: etree._Element = E.result(E.message(clean(message)))
    return result


def _markup(element: etree._Element) -> str:
    return etree.tostring(element, encoding="us-ascii", xml_declaration=False).decode()


#: lxml's own declaration has single quotes; SendGrid's has double ones.
DECLARATION = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
OPENING, CLOSING = (DECLARATION + _markup(E.bounces("|"))).split("|")
