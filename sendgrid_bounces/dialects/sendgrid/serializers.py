"""JSON and XML serializers: tables from document classes to their forms.

A serializer yields bytes. A list yields one piece per batch of rows, so a long list
never occupies memory as a whole.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from sendgrid_bounces.dialects.sendgrid.documents import (
    BounceListing,
    Count,
    Document,
    ErrorCode,
    ErrorList,
    Message,
)

Pieces = Iterator[bytes]

#: The texts of one column in all rows of a batch.
Column = Sequence[str]

JSON_HEADERS: Mapping[str, str] = {"Content-Type": "application/json"}
XML_HEADERS: Mapping[str, str] = {"Content-Type": "text/xml; charset=ISO-8859-1"}


@dataclass(frozen=True, slots=True)
class ListingForm:
    """The form of a list of bounces.

    :param write: renders rows, from the addresses, statuses and reasons of all rows,
        and the texts of their times, or empty texts.
    :param created: the texts before and after a time.
    :param finish: encodes rendered rows.
    """

    write: Callable[[Column, Column, Column, Iterable[str]], list[str]]
    created: tuple[str, str]
    opening: str
    between: str
    closing: str
    finish: Callable[[str], bytes] = str.encode

    def pieces(self, listing: BounceListing) -> Pieces:
        """Yield *listing*, one piece per batch of rows."""
        before = self.opening
        for rows in listing.batches:
            emails, statuses, reasons, instants, _ids = zip(*rows, strict=True)
            times: Iterable[str] = repeat("")
            if listing.zone:
                times = listing.zone.render_all(instants, *self.created)
            texts = self.write(emails, statuses, reasons, times)
            yield self.finish(before + self.between.join(texts))
            before = self.between
        start = self.opening if before is self.opening else ""
        yield (start + self.closing).encode()


#: The JSON values of all documents except lists.
JSON_VALUES: Mapping[type[Document], Callable[[Any], Any]] = {
    Count: lambda document: {"count": document.count},
    Message: lambda document: {"message": document.message},
    ErrorList: lambda document: {"message": "error", "errors": document.errors},
    ErrorCode: lambda document: {
        "error": {"code": document.code, "message": document.message}
    },
}


@dataclass(frozen=True, slots=True)
class JSONSerializer:
    """A JSON serializer, ASCII only.

    :param separators: after an item and after a key, as for :func:`json.dumps`.
    :param slash: the form of a slash, which JSON allows to escape.
    """

    separators: tuple[str, str]
    listing: ListingForm
    values: Mapping[type[Document], Callable[[Any], Any]]
    headers: Mapping[str, str]
    slash: str = "/"

    def pieces(self, document: Document) -> Pieces:
        """Yield the bytes of *document*."""
        if isinstance(document, BounceListing):
            return self.listing.pieces(document)
        value = self.values[type(document)](document)
        text = json.dumps(value, separators=self.separators)
        return iter([text.replace("/", self.slash).encode()])


def _quoted(*columns: Column) -> Iterator[Iterator[str]]:
    """Return *columns* with each text as JSON."""
    return (map(quote, column) for column in columns)


def write_direct_rows(
    emails: Column, statuses: Column, reasons: Column, times: Iterable[str]
) -> list[str]:
    """Return rows as JSON of the direct calls.

    Wire: the key order is that of the bounces.get documentation.
    """
    return [
        f'{{"status": {status}, {created}"reason": {reason}, "email": {email}}}'
        for email, status, reason, created in zip(
            *_quoted(emails, statuses, reasons), times, strict=False
        )
    ]


def write_reseller_rows(
    emails: Column, statuses: Column, reasons: Column, times: Iterable[str]
) -> list[str]:
    """Return rows as JSON of the resellers' dispatcher.

    Wire: the key order is that of the Customer Bounces documentation. The compact form
    and the escaped slash are recorded from sister calls.
    """
    return [
        f'{{"email":{email},"status":{status},"reason":{reason}{created}}}'
        for email, status, reason, created in zip(
            *_quoted(emails, statuses, reasons), times, strict=False
        )
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

#: The characters that XML 1.0 cannot represent (production 2, Char, negated).
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

#: The characters that mark up XML.
_MARKUP = re.compile("[&<>]")

#: The ASCII characters among these, and the references of the other two.
_CONTROLS = bytes({*range(32)} - {*b"\t\n\r"})
_REFERENCES = (b"&#65534;", b"&#65535;")


def clean(text: str) -> str:
    """Return *text* without the characters that XML 1.0 cannot represent."""
    return _FORBIDDEN.sub("", text)


def encode(markup: str) -> bytes:
    """Return *markup* as ASCII bytes, identical to the output of lxml.

    Forbidden characters and carriage returns never occur in tags, so they are replaced
    once per batch instead of once per text. No text contains one of the references
    itself, because its ampersand is escaped.
    """
    encoded = markup.encode("ascii", "xmlcharrefreplace").translate(None, _CONTROLS)
    for reference in _REFERENCES:
        encoded = encoded.replace(reference, b"")
    return encoded.replace(b"\r", b"&#13;")


def escape(column: Column) -> Column:
    """Return *column* with escaped markup."""
    return [
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        for text in column
    ]


def write_xml_rows(
    emails: Column, statuses: Column, reasons: Column, times: Iterable[str]
) -> list[str]:
    """Return rows as XML; :func:`encode` completes the escaping."""
    columns = [  # few have markup
        escape(column) if _MARKUP.search("".join(column)) else column
        for column in (emails, statuses, reasons)
    ]
    return [
        f"<bounce><email>{email}</email><status>{status}</status>"
        f"<reason>{reason}</reason>{created}</bounce>"
        for email, status, reason, created in zip(*columns, times, strict=False)
    ]


#: The name and the text of the element in ``<result>``, for all documents except lists.
XML_ELEMENTS: Mapping[type[Document], Callable[[Any], tuple[str, str]]] = {
    Count: lambda document: ("count", str(document.count)),
    Message: lambda document: ("message", document.message),
    ErrorList: lambda document: ("message", "error: " + "; ".join(document.errors)),
    ErrorCode: lambda document: (
        "message",
        f"error: {document.message or document.code}",
    ),
}

#: SendGrid's declaration has double quotes; lxml writes single ones.
DECLARATION = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
XML_LISTING = ListingForm(
    write_xml_rows,
    ("<created>", "</created>"),
    f"{DECLARATION}<bounces>",
    "",
    "</bounces>",
    finish=encode,
)


def _markup(name: str, text: str) -> str:
    """Return the element *name* with *text* in ``<result>``."""
    from lxml import etree  # rarely needed, and takes a tenth of the start

    result = etree.Element("result")
    etree.SubElement(result, name).text = clean(text)
    return etree.tostring(result, encoding="us-ascii", xml_declaration=False).decode()


@dataclass(frozen=True, slots=True)
class XMLSerializer:
    """An XML serializer: it declares ISO-8859-1 and writes ASCII.

    Wire: the declaration and the elements are documented by SendGrid. Numeric
    references for all other characters are inferred; every parser reads them alike.
    """

    elements: Mapping[type[Document], Callable[[Any], tuple[str, str]]]
    headers: Mapping[str, str]

    def pieces(self, document: Document) -> Pieces:
        """Yield the bytes of *document*."""
        if isinstance(document, BounceListing):
            return XML_LISTING.pieces(document)
        name, text = self.elements[type(document)](document)
        return iter([(DECLARATION + _markup(name, text)).encode()])


XML = XMLSerializer(XML_ELEMENTS, XML_HEADERS)
