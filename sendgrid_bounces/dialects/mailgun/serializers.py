"""Rows and messages as the bytes of v2 and v3: both are JSON, and alike in no more.

Wire: v3 is compact, in UTF-8, and ends in a line break; v2 is indented by two, in ASCII
(inferred), and does not.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from textwrap import indent

from sendgrid_bounces.dialects.mailgun.dates import render_date
from sendgrid_bounces.storage.bounces import BounceTuple

Item = Mapping[str, object]


def v3_item(row: BounceTuple) -> Item:
    """Return a row as v3 has it: its code is always a string, its date in UTC."""
    email, _status, code, reason, _reported, created, _id = row
    return {
        "address": email,
        "code": code,
        "error": reason,
        "created_at": render_date(created).replace("GMT", "UTC"),
    }


def v2_item(row: BounceTuple) -> Item:
    """Return a row as v2 has it.

    Wire: the code is a string if the bounce was added through the API, and an integer
    if a mail server reported it: the documentation shows both in one list.
    """
    email, _status, code, reason, reported, created, _id = row
    is_number = reported and code.isascii() and code.isdigit()
    return {
        "code": int(code) if is_number else code,
        "created_at": render_date(created),
        "error": reason,
        "address": email,
    }


def v3_bytes(document: object) -> bytes:
    """Return *document* as v3 writes it."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return f"{text}\n".encode()


def v2_bytes(document: object) -> bytes:
    """Return *document* as v2 writes it."""
    return json.dumps(document, indent=2).encode()


def v2_listing(total: int, batches: Iterable[list[BounceTuple]]) -> Iterator[bytes]:
    """Yield the list as v2 writes it, in a piece for each batch of its rows."""
    before = f'{{\n  "total_count": {total},\n  "items": ['
    closing = "]\n}"
    for rows in batches:
        items = (json.dumps(v2_item(row), indent=2) for row in rows)
        yield (
            before + ",".join(f"\n{indent(item, '    ')}" for item in items)
        ).encode()
        before, closing = ",", "\n  ]\n}"
    yield ((before if closing == "]\n}" else "") + closing).encode()
