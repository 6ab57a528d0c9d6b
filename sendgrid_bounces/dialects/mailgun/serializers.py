"""JSON serializers of v2 and v3: tables from document classes to their forms.

Wire: v3 is compact UTF-8 with a final newline; v2 is indented by two spaces, ASCII
(inferred), without a final newline.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from textwrap import indent
from typing import Any
from urllib.parse import quote_plus

from sendgrid_bounces.dialects.mailgun.dates import render_date
from sendgrid_bounces.dialects.mailgun.documents import (
    Added,
    BatchAdded,
    Challenge,
    Cleared,
    Document,
    ErrorMessage,
    ErrorText,
    Found,
    Imported,
    Page,
    Removed,
    Slice,
)
from sendgrid_bounces.storage.bounces import BounceTuple

Item = Mapping[str, object]
Pieces = Iterable[bytes]

ADDED = "Address has been added to the bounces table"
BATCH_ADDED = "addresses have been added to the bounces table"
CLEARED = "Bounced addresses for this domain have been removed"
IMPORTED = "file uploaded successfully for processing. standby..."
REMOVED = "Bounced address has been removed"

TEXT_HEADERS: Mapping[str, str] = {"Content-Type": "text/plain; charset=utf-8"}
CHALLENGE_HEADERS: Mapping[str, str] = {
    **TEXT_HEADERS,
    "WWW-Authenticate": 'Basic realm="MG API"',
}


@dataclass(frozen=True, slots=True)
class Serializer:
    """A table of document classes, each with the function that returns its bytes."""

    headers: Mapping[str, str]
    forms: Mapping[type[Document], Callable[[Any], Pieces]]

    def pieces(self, document: Document) -> Pieces:
        """Return the bytes of *document*, in pieces."""
        return self.forms[type(document)](document)


def v2_json(value: object) -> Pieces:
    """Return *value* as JSON of v2."""
    return [json.dumps(value, indent=2).encode()]


def v2_item(row: BounceTuple) -> Item:
    """Return *row* as an item of v2.

    Wire: the code of a bounce that was added through the API is a string; that of a
    bounce reported by a mail server is an integer. The documentation shows both in one
    list.
    """
    email, _status, code, reason, reported, created, _id = row
    is_number = reported and code.isascii() and code.isdigit()
    return {
        "code": int(code) if is_number else code,
        "created_at": render_date(created),
        "error": reason,
        "address": email,
    }


def v2_slice(document: Slice) -> Iterator[bytes]:
    """Yield a list of v2, one piece per batch of rows."""
    before = f'{{\n  "total_count": {document.total},\n  "items": ['
    closing = "]\n}"
    for rows in document.batches:
        items = (json.dumps(v2_item(row), indent=2) for row in rows)
        yield (
            before + ",".join(f"\n{indent(item, '    ')}" for item in items)
        ).encode()
        before, closing = ",", "\n  ]\n}"
    yield ((before if closing == "]\n}" else "") + closing).encode()


def v3_json(value: object) -> Pieces:
    """Return *value* as JSON of v3."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return [f"{text}\n".encode()]


def v3_item(row: BounceTuple) -> Item:
    """Return *row* as an item of v3, with a code that is always a string."""
    email, _status, code, reason, _reported, created, _id = row
    return {
        "address": email,
        "code": code,
        "error": reason,
        "created_at": render_date(created).replace("GMT", "UTC"),
    }


def v3_page(document: Page) -> Item:
    """Return a list of v3."""
    items = [v3_item(row) for row in document.rows]
    return {"items": items, "paging": v3_paging(document, items)}


def v3_paging(document: Page, items: list[Item]) -> Mapping[str, str]:
    """Return the URLs of the pages around *items*, in the order of the response.

    Wire: all four are always present and absolute. Around an empty page all four are
    the URL of the first page: clients stop at empty items, not at a missing URL.
    """
    params = document.params
    rest = f"limit={params.limit}&term={quote_plus(params.term)}"
    first = f"{document.url}?{rest}"
    if not items:
        return dict.fromkeys(("first", "last", "next", "previous"), first)

    def beside(page: str, item: Item) -> str:
        address = quote_plus(str(item["address"]))
        return f"{document.url}?page={page}&address={address}&{rest}"

    return {
        "first": first,
        "last": f"{document.url}?page=last&{rest}",
        "next": beside("next", items[-1]),
        "previous": beside("previous", items[0]),
    }


def _text(document: ErrorText) -> Pieces:
    return [document.text.encode()]


V2 = Serializer(
    {"Content-Type": "application/json"},
    {
        Slice: v2_slice,
        Found: lambda document: v2_json({"bounce": v2_item(document.row)}),
        Added: lambda document: v2_json(
            {"message": ADDED, "address": document.address}
        ),
        Removed: lambda document: v2_json(
            {"message": REMOVED, "address": document.address}
        ),
        ErrorMessage: lambda document: v2_json({"message": document.message}),
    },
)

V3 = Serializer(
    {"Content-Type": "application/json; charset=utf-8"},
    {
        Page: lambda document: v3_json(v3_page(document)),
        Found: lambda document: v3_json(v3_item(document.row)),
        Added: lambda document: v3_json(
            {"message": ADDED, "address": document.address}
        ),
        BatchAdded: lambda document: v3_json(
            {"message": f"{document.count} {BATCH_ADDED}"}
        ),
        Imported: lambda _: v3_json({"message": IMPORTED}),
        Removed: lambda document: v3_json(
            {"address": document.address, "message": REMOVED}
        ),
        Cleared: lambda _: v3_json({"message": CLEARED}),
        ErrorMessage: lambda document: v3_json({"message": document.message}),
    },
)

#: The serializers of documents that are text in both versions.
TEXT: Mapping[type[Document], Serializer] = {
    ErrorText: Serializer(TEXT_HEADERS, {ErrorText: _text}),
    Challenge: Serializer(CHALLENGE_HEADERS, {Challenge: _text}),
}
