"""The file that an import uploads."""

from typing import IO

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from sendgrid_bounces.core.errors import RequestError
from sendgrid_bounces.web import requests

#: Wire: Mailgun API reference, import: "25MB or under".
MAX_FILE = 25 * 1024 * 1024

#: What the parts of a form may have around the file.
MAX_FRAME = 64 * 1024


def open_upload() -> IO[bytes]:
    """Return the uploaded file, whatever the name of its part; it is kept on disk.

    :raises RequestEntityTooLarge: if it is too large; before it is read, if the
        request says how long it is.
    :raises RequestError: if there is none.
    """
    request.max_content_length = MAX_FILE + MAX_FRAME
    with requests.reading():
        upload = next(iter(request.files.values()), None)
    if upload is None:
        raise RequestError("Missing mandatory parameter: file")
    if upload.stream.seek(0, 2) > MAX_FILE:
        raise RequestEntityTooLarge
    upload.stream.seek(0)
    return upload.stream
