"""The pair of serializers: both know every document, and no text breaks them."""

import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from sendgrid_bounces.core.clock import WallClock
from sendgrid_bounces.dialects.sendgrid import documents, serializers
from sendgrid_bounces.dialects.sendgrid.direct import SERIALIZERS
from sendgrid_bounces.dialects.sendgrid.documents import BounceListing
from sendgrid_bounces.dialects.sendgrid.markup import clean

DECLARATION = b'<?xml version="1.0" encoding="ISO-8859-1"?>\n'

#: Any text, with more than its share of what is hard to write.
TEXT = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from("\0\x01\x0b\x1f\x7f\x85\ufffe\uffff\r\n\t<>&\"'\u2028]]>\ud7ff")
)
ROWS = st.lists(st.tuples(TEXT, TEXT, TEXT, st.integers(0, 2**31)))


def _listing(rows: list, *, dated: bool, size: int = 3) -> BounceListing:
    full = [(*row, number) for number, row in enumerate(rows)]
    batches = (full[i : i + size] for i in range(0, len(full), size))
    return BounceListing(batches, WallClock() if dated else None)


def _bytes(suffix: str, document: documents.Document) -> bytes:
    return b"".join(SERIALIZERS[suffix].pieces(document))


def test_both_serializers_know_every_document() -> None:
    """A document without one of its forms is a failing build."""
    known = {
        found
        for found in vars(documents).values()
        if isinstance(found, type) and issubclass(found, documents.Document)
    } - {documents.Document, BounceListing}

    assert known == set(serializers.PLAIN) == set(serializers.ELEMENTS)


@given(ROWS, st.booleans())
def test_any_text_survives_json(rows: list, dated: bool) -> None:
    """The bytes are those of Python's own encoder."""
    expected = [
        {
            "status": status,
            **({"created": WallClock().render(created)} if dated else {}),
            "reason": reason,
            "email": email,
        }
        for email, status, reason, created in rows
    ]

    written = _bytes("json", _listing(rows, dated=dated))

    assert json.dumps(expected).encode() == written
    assert expected == json.loads(written)


@given(ROWS, st.booleans())
def test_any_text_gives_the_xml_that_lxml_would_write(rows: list, dated: bool) -> None:
    """Rows are written faster than by lxml, and are the same to the byte."""
    root = etree.Element("bounces")
    for email, status, reason, created in rows:
        element = etree.SubElement(root, "bounce")
        for name, text in (("email", email), ("status", status), ("reason", reason)):
            etree.SubElement(element, name).text = clean(text)
        if dated:
            etree.SubElement(element, "created").text = WallClock().render(created)
    expected = etree.tostring(root, method="xml", encoding="us-ascii")
    expected = expected.partition(b"\n")[2] if expected[:2] == b"<?" else expected

    written = _bytes("xml", _listing(rows, dated=dated))

    assert written.startswith(DECLARATION)
    assert _canonical(DECLARATION + expected) == _canonical(written)
    if rows:
        _assert_text(rows, written)
    if all(row[i] for row in rows for i in (0, 1, 2)) and rows:
        non_empty = all(clean(row[i]) for row in rows for i in (0, 1, 2))
        assert not non_empty or DECLARATION + expected == written


def _canonical(written: bytes) -> bytes:
    """Take away the only freedom that is left: <a/> or <a></a>."""
    return etree.tostring(etree.fromstring(written), method="c14n")


def _assert_text(rows: list, written: bytes) -> None:
    """Another parser reads what was meant, without what XML cannot carry."""
    for row, element in zip(rows, ET.fromstring(written), strict=True):
        read = [element.findtext(name) for name in ("email", "status", "reason")]
        assert [clean(row[0]), clean(row[1]), clean(row[2])] == read


@pytest.mark.parametrize("suffix", SERIALIZERS)
def test_a_long_list_comes_in_pieces(suffix: str) -> None:
    """One for each batch of rows, and what ends it."""
    rows = [("a@x", "5.1.1", "no", 0)] * 10
    pieces = list(SERIALIZERS[suffix].pieces(_listing(rows, dated=True, size=4)))

    assert len(pieces) == 4
    assert _bytes(suffix, _listing(rows, dated=True, size=99)) == b"".join(pieces)


def test_what_xml_cannot_carry_is_dropped() -> None:
    """The rest stays, and the seams are not seen."""
    assert clean("a\0b\x0b c\td\n\ufffe\U0001f600\uffff") == "ab c\td\n\U0001f600"


@pytest.mark.parametrize("suffix", SERIALIZERS)
def test_errors_and_messages_are_ascii_in_any_language(suffix: str) -> None:
    """Also where a fault repeats what was sent."""
    for document in (
        documents.ErrorText("caf\u00e9 \0<"),
        documents.ErrorList(("caf\u00e9 \0<",)),
        documents.Message("caf\u00e9 \0<"),
    ):
        written = _bytes(suffix, document)

        assert written.isascii()
        if suffix == "xml":
            assert "caf\u00e9 <" in ET.fromstring(written).findtext("message")
