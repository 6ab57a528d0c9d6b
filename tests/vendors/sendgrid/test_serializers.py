"""JSON and XML serializers: they cover every document, and any text round-trips."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from sendgrid_bounces.core.profiles import PROFILES
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.dialects.sendgrid import documents
from sendgrid_bounces.dialects.sendgrid.documents import BounceListing, Document
from sendgrid_bounces.dialects.sendgrid.profiles import RESELLER_PROFILE, find_profile
from sendgrid_bounces.dialects.sendgrid.serializers import (
    JSONSerializer,
    XMLSerializer,
    clean,
)

SERIALIZERS = find_profile("documented").serializers

ALL_SERIALIZERS = [
    pytest.param(serializer, id=f"{name} {suffix}")
    for name, profile in {
        **{name: find_profile(name) for name in PROFILES},
        "reseller": RESELLER_PROFILE,
    }.items()
    for suffix, serializer in profile.serializers.items()
]

DECLARATION = b'<?xml version="1.0" encoding="ISO-8859-1"?>\n'

#: Any text, with many characters that need escaping.
TEXT = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from("\0\x01\x0b\x1f\x7f\x85\ufffe\uffff\r\n\t<>&\"'\u2028]]>\ud7ff")
)
ROWS = st.lists(st.tuples(TEXT, TEXT, TEXT, st.integers(0, 2**31)))


def _listing(rows: list, *, dated: bool, size: int = 3) -> BounceListing:
    full = [(*row, number) for number, row in enumerate(rows)]
    batches = (full[i : i + size] for i in range(0, len(full), size))
    return BounceListing(batches, TimeZone() if dated else None)


def _bytes(suffix: str, document: documents.Document) -> bytes:
    return b"".join(SERIALIZERS[suffix].pieces(document))


@pytest.mark.parametrize("serializer", ALL_SERIALIZERS)
def test_serializer_covers_every_document(
    serializer: JSONSerializer | XMLSerializer,
) -> None:
    """A new document needs a JSON form and an XML form in every profile."""
    forms: Mapping[type[Document], object] = (
        serializer.values
        if isinstance(serializer, JSONSerializer)
        else serializer.elements
    )
    known = {
        found
        for found in vars(documents).values()
        if isinstance(found, type) and issubclass(found, Document)
    } - {Document, BounceListing}

    assert known == set(forms)


@given(ROWS, st.booleans())
def test_json_rows_equal_json_dumps(rows: list, dated: bool) -> None:
    """Rows have a fast path of their own."""
    expected = [
        {
            "status": status,
            **({"created": TimeZone().render(created)} if dated else {}),
            "reason": reason,
            "email": email,
        }
        for email, status, reason, created in rows
    ]

    written = _bytes("json", _listing(rows, dated=dated))

    assert json.dumps(expected).encode() == written
    assert expected == json.loads(written)


@given(ROWS, st.booleans())
def test_xml_rows_equal_lxml(rows: list, dated: bool) -> None:
    """Rows have a fast path of their own."""
    root = etree.Element("bounces")
    for email, status, reason, created in rows:
        element = etree.SubElement(root, "bounce")
        for name, text in (("email", email), ("status", status), ("reason", reason)):
            etree.SubElement(element, name).text = clean(text)
        if dated:
            etree.SubElement(element, "created").text = TimeZone().render(created)
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
    """Remove the difference between <a/> and <a></a>."""
    return etree.tostring(etree.fromstring(written), method="c14n")


def _assert_text(rows: list, written: bytes) -> None:
    """Assert that another parser reads the same text, without forbidden characters."""
    for row, element in zip(rows, ET.fromstring(written), strict=True):
        read = [element.findtext(name) for name in ("email", "status", "reason")]
        assert [clean(row[0]), clean(row[1]), clean(row[2])] == read


@pytest.mark.parametrize("suffix", SERIALIZERS)
def test_list_has_one_piece_per_batch(suffix: str) -> None:
    """And a final piece."""
    rows = [("a@x", "5.1.1", "no", 0)] * 10
    pieces = list(SERIALIZERS[suffix].pieces(_listing(rows, dated=True, size=4)))

    assert len(pieces) == 4
    assert _bytes(suffix, _listing(rows, dated=True, size=99)) == b"".join(pieces)


def test_clean_removes_forbidden_characters() -> None:
    """All other characters stay."""
    assert clean("a\0b\x0b c\td\n\ufffe\U0001f600\uffff") == "ab c\td\n\U0001f600"


@pytest.mark.parametrize("suffix", SERIALIZERS)
def test_errors_and_messages_are_ascii(suffix: str) -> None:
    """Errors may repeat parameters of the request."""
    for document in (
        documents.ErrorCode(400, "caf\u00e9 \0<"),
        documents.ErrorList(("caf\u00e9 \0<",)),
        documents.Message("caf\u00e9 \0<"),
    ):
        written = _bytes(suffix, document)

        assert written.isascii()
        if suffix == "xml":
            assert "caf\u00e9 <" in ET.fromstring(written).findtext("message")
