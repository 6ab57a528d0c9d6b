"""Import and export of the bounces of an account or a domain."""

import io
import shutil
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from tempfile import TemporaryFile
from urllib.parse import quote

from flask import Response, url_for
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import dump_options_header

from sendgrid_bounces.control.documents import render_bounce
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.charsets import is_file_charset
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.files import is_refused, temporary_error
from sendgrid_bounces.core.timezones import account_zone
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.bounces import read_owner
from sendgrid_bounces.pages.filters import read_filter
from sendgrid_bounces.pages.web import SECURITY_HEADERS, done, page, render
from sendgrid_bounces.schemas.exports import WRITERS, Record
from sendgrid_bounces.schemas.formats import EXPORT_FORMATS, IMPORT_FORMATS
from sendgrid_bounces.schemas.imports import (
    READERS,
    ImportOptions,
    limit_rows,
    read_bounces,
)
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.web.requests import request
from sendgrid_bounces.web.responses import send_rest

#: Bytes of an imported file. The command line has no limit.
MAX_FILE = 25 * 1024 * 1024

TOO_LARGE = (
    f"the form is larger than {MAX_FILE >> 20} MiB, or has too many fields; "
    "use the command sendgrid-bounces bounces import"
)

#: The media type of each format of an export.
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


@page("/ui/bounces/import")
def import_form(control: Control) -> Response:
    """Show the form of an import."""
    return _show(control, read_owner())


@page("/ui/bounces/import", "POST")
def import_bounces(control: Control) -> Response:
    """Store all bounces of a file, or none."""
    owner = read_owner()
    zone = account_zone(control.owner(owner).timezone)
    values: Mapping[str, str] = {}
    try:
        with TemporaryFile() as file:
            name, values = _receive(file), request.form
            options = ImportOptions(
                zone, control.clock().now, bool(request.form.get("ignores_unknown"))
            )
            try:
                control.put_bounces(owner, _read(file, name, options))
            except ParametersError as error:
                text = "; ".join(error.within(name, ", ").messages(1))
                raise ParametersError([("file", text)]) from None
    except OSError as error:
        if not is_refused(error):
            raise
        raise temporary_error(error) from error
    except RequestEntityTooLarge:
        return _show(control, owner, ParametersError([("file", TOO_LARGE)]))
    except ParametersError as error:
        return _show(control, owner, error, values)
    return done("pages.bounces", "imported", owner=owner)


@page("/ui/bounces/export")
def export_bounces(_: Control) -> Response:
    """Send the bounces that match the filter as a file, oldest first."""
    owner, storage = read_owner(), current_emulator().storage
    file_format = request.args.get("format", "csv")
    if file_format not in EXPORT_FORMATS:
        problem = f"must be one of {', '.join(EXPORT_FORMATS)}"
        raise ParametersError([("format", problem)])
    found = storage.accounts.named_list(owner)
    query = read_filter(request.args, account_zone(found.timezone)).query

    def records() -> Iterator[Record]:
        for batch in storage.bounces.find(found.id, query):
            yield from (render_bounce(as_bounce(row)) for row in batch)

    lines = WRITERS[file_format](records())
    first = [*islice(lines, 2)]  # an error of the first records has a status
    response = Response(chain(first, send_rest(lines)), headers=SECURITY_HEADERS)
    response.content_type = MEDIA_TYPES[file_format]
    response.headers["Content-Disposition"] = _attachment(f"{owner}.{file_format}")
    return response


def _attachment(name: str) -> str:
    """Return the header of a file to save as *name*.

    Header fields are Latin-1, so other names are percent-encoded (RFC 6266).
    """
    if name.isascii():
        return dump_options_header("attachment", {"filename": name})
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


def _receive(file: io.BufferedRandom) -> str:
    """Write the uploaded file to *file*, and return its name.

    :raises ParametersError: if there is none.
    :raises RequestEntityTooLarge: if it is too large.
    """
    stream = request.read_upload(MAX_FILE)
    upload = request.files.get("file")
    if stream is None or upload is None or not upload.filename:
        raise ParametersError([("file", "choose a file")])
    shutil.copyfileobj(stream, file)
    file.seek(0)
    return upload.filename


def _read(
    file: io.BufferedRandom, name: str, options: ImportOptions
) -> Iterator[Bounce]:
    """Yield the bounces in *file*.

    :raises ParametersError: naming the place of the first problem.
    """
    suffix = name.rpartition(".")[2].lower()
    file_format = request.form.get("format") or IMPORT_FORMATS.get(suffix, "")
    if file_format not in READERS:
        raise ParametersError([("", "unknown file format: choose one")])
    encoding = request.form.get("encoding", "").strip()
    errors = "strict" if encoding else "surrogateescape"
    if encoding and not is_file_charset(encoding):
        raise ParametersError([("", f"unknown or unsupported encoding {encoding!r}")])
    text = io.TextIOWrapper(file, encoding or "utf-8-sig", errors, newline="")
    try:
        found = limit_rows(read_bounces(text, file_format, options))
        yield from request.while_connected(found)
    except UnicodeError:
        raise ParametersError([("", f"must be {encoding} text")]) from None
    finally:
        text.detach()


def _show(
    control: Control,
    owner: str,
    error: ParametersError | None = None,
    values: Mapping[str, str] = {},
) -> Response:
    return render(
        control,
        "import.html",
        error=error,
        owner=control.owner(owner).name,
        twin=("bounces", url_for("control.list_bounces", owner=owner)),
        formats=READERS,
        limit=MAX_FILE >> 20,
        values=values,
    )
