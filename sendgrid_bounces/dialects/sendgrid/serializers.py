"""Documents as bytes: a pair of serializers, JSON and XML, that know every document.

Each is a table from document classes to what writes them. A document becomes pieces of
bytes; a list comes in a piece for each batch of its rows, so that a long one is never
held whole, and every row of it is written by one function.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
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
from sendgrid_bounces.dialects.sendgrid.markup import clean, encode, escape
from sendgrid_bounces.storage.bounces import BriefTuple

Pieces = Iterator[bytes]


@dataclass(frozen=True, slots=True)
class ListingForm:
    """How a list is written.

    :param write: writes rows, each with the text that tells its time, or none.
    :param created: what goes before and after a time.
    :param opening: what goes before the rows; *between* and *closing* likewise.
    :param finish: turns the written rows into bytes.
    """

    write: Callable[[Iterable[tuple[BriefTuple, str]]], list[str]]
    created: tuple[str, str]
    opening: str
    between: str
    closing: str
    finish: Callable[[str], bytes] = str.encode

    def pieces(self, listing: BounceListing) -> Pieces:
        """Yield *listing*, in a piece for each batch of its rows."""
        before = self.opening
        for rows in listing.batches:
            times: Iterable[str] = repeat("")
            if listing.clock:
                instants = [row[3] for row in rows]
                times = listing.clock.render_all(instants, *self.created)
            yield self.finish(
                before + self.between.join(self.write(zip(rows, times, strict=False)))
            )
            before = self.between
        start = self.opening if before is self.opening else ""
        yield (start + self.closing).encode()


@dataclass(frozen=True, slots=True)
class JSONSerializer:
    """A face's JSON, ASCII only.

    :param separators: as :func:`json.dumps` takes them: after an item, after a key.
    :param listing: how a list is written, its keys in the face's order.
    :param slash: how it writes a slash, which JSON allows to escape.
    """

    separators: tuple[str, str]
    listing: ListingForm
    slash: str = "/"

    def pieces(self, document: Document) -> Pieces:
        """Yield the bytes of *document*."""
        if isinstance(document, BounceListing):
            return self.listing.pieces(document)
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


def write_direct_rows(rows: Iterable[tuple[BriefTuple, str]]) -> list[str]:
    """Return the JSON of rows of the direct calls.

    Wire: the order of the keys is that of bounces.get's documentation.
    """
    return [
        f'{{"status": {quote(status)}, {created}'
        f'"reason": {quote(reason)}, "email": {quote(email)}}}'
        for (email, status, reason, _created, _id), created in rows
    ]


def write_reseller_rows(rows: Iterable[tuple[BriefTuple, str]]) -> list[str]:
    """Return the JSON of rows of the resellers' dispatcher.

    Wire: the order of the keys is that of Customer Bounces' documentation; that it is
    compact, and a slash escaped, is recorded of its sister calls.
    """
    return [
        f'{{"email":{quote(email)},"status":{quote(status)},'
        f'"reason":{quote(reason)}{created}}}'
        for (email, status, reason, _created, _id), created in rows
    ]


DIRECT_LISTING = ListingForm(write_direct_rows, ('"created": "', '", '), "[", ", ", "]")
RESELLER_LISTING = ListingForm(
    write_reseller_rows,
    (',"created":"', '"'),
    "[",
    ",",
    "]",
    finish=lambda text: text.replace("/", "\\/").encode(),
)


class XMLSerializer:
    """The XML of all faces: a declaration of ISO-8859-1, then nothing beyond ASCII.

    Wire: the declaration and the elements are those of SendGrid's documentation. That
    other characters are references is inferred: every parser reads them alike.
    """

    def pieces(self, document: Document) -> Pieces:
        """Yield the bytes of *document*."""
        if isinstance(document, BounceListing):
            return XML_LISTING.pieces(document)
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


def write_xml_rows(rows: Iterable[tuple[BriefTuple, str]]) -> list[str]:
    """Return rows as XML, equal to lxml's once they are finished."""
    return [
        f"<bounce><email>{escape(email)}</email><status>{escape(status)}</status>"
        f"<reason>{escape(reason)}</reason>{created}</bounce>"
        for (email, status, reason, _created, _id), created in rows
    ]


def _result(message: str) -> etree._Element:
    result: etree._Element = E.result(E.message(clean(message)))
    return result


def _markup(element: etree._Element) -> str:
    return etree.tostring(element, encoding="us-ascii", xml_declaration=False).decode()


#: lxml's own declaration has single quotes; SendGrid's has double ones.
DECLARATION = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
OPENING, CLOSING = (DECLARATION + _markup(E.bounces("|"))).split("|")
XML_LISTING = ListingForm(
    write_xml_rows,
    ("<created>", "</created>"),
    OPENING,
    "",
    CLOSING,
    finish=encode,
)
