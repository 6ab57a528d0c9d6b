"""The bytes of v3: compact JSON, and a few other forms."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from sendgrid_bounces.dialects.sendgrid.v3_documents import (
    DailyCounts,
    Document,
    ErrorPage,
    FieldErrors,
    Listing,
    NoContent,
)

JSON, HTML, CSV = "application/json", "text/html", "text/csv"

#: Wire: recorded from other endpoints in 2020; the 406 of bounces is recorded without
#: its body.
PAGE = """\
<html>\r
<head><title>{title}</title></head>\r
<body bgcolor="white">\r
<center><h1>{title}</h1></center>\r
<hr><center>nginx</center>\r
</body>\r
</html>\r
"""


def write_listing(document: Listing) -> str:
    """Return rows as JSON.

    Wire: the key order is that of the OpenAPI document; the compact form is recorded
    from a sister list; the escapes are inferred, and every parser reads them alike.
    """
    rows = [
        f'{{"created":{created},"email":{quote(email)},'
        f'"reason":{quote(reason)},"status":{quote(status)}}}'
        for email, status, reason, created, _id in document.rows
    ]
    return f"[{','.join(rows)}]"


def write_counts(document: DailyCounts) -> str:
    """Return daily counts as JSON."""
    result = [
        {
            "date": day,
            "stats": [{document.label: g, "count": n} for g, n in groups.items()],
        }
        for day, groups in document.days.items()
    ]
    return json.dumps({"result": result}, separators=(",", ":"))


def write_counts_csv(document: DailyCounts) -> str:
    """Return daily counts as CSV.

    Wire: the format is documented, its bytes are inferred.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("date", document.label, "count"))
    for day, groups in document.days.items():
        writer.writerows((day, group, count) for group, count in groups.items())
    return text.getvalue()


def write_errors(document: FieldErrors) -> str:
    """Return error messages as JSON.

    Wire: recorded; ``field`` comes before ``message``.
    """
    errors = [{"field": name, "message": text} for name, text in document.errors]
    return json.dumps({"errors": errors}, separators=(",", ":"))


class Form:
    """A serializer of one document class.

    :param media_type: of the body; empty without one.
    """

    def __init__(self, media_type: str, write: Callable[[Any], str]) -> None:
        self.headers = {"Content-Type": media_type} if media_type else {}
        self._write = write

    def pieces(self, document: Document) -> list[bytes]:
        """Return the bytes of *document*."""
        return [self._write(document).encode()]


#: The form of each document class.
FORMS: Mapping[type[Document], Form] = {
    Listing: Form(JSON, write_listing),
    NoContent: Form("", lambda _: ""),
    DailyCounts: Form(JSON, write_counts),
    FieldErrors: Form(JSON, write_errors),
    ErrorPage: Form(HTML, lambda document: PAGE.format(title=document.title)),
}

#: The forms for a client that prefers CSV.
CSV_FORMS: Mapping[type[Document], Form] = {
    **FORMS,
    DailyCounts: Form(CSV, write_counts_csv),
}
