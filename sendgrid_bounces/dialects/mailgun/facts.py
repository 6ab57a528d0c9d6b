"""What a request of v2 or v3 is about, before anybody has proven to be its caller."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from flask import request
from werkzeug.exceptions import HTTPException

from sendgrid_bounces.core.errors import RequestError
from sendgrid_bounces.core.requests import RequestInfo
from sendgrid_bounces.dialects.mailgun import web
from sendgrid_bounces.web import requests

#: How much JSON is read only to see what it is about.
MAX_GLANCE = 64 * 1024

#: What the views' functions are called as operations.
OPERATIONS = {"listing": "list", "import_": "import"}


def read_request_info(dialect: str) -> RequestInfo:
    """Describe the current request; a part that does not parse is left out.

    An uploaded file stays unread, and the owner of the API key is not looked up.
    """
    info = RequestInfo(dialect, request.method, request.path)
    values = request.view_args or {}
    if request.endpoint is None or "domain" not in values:
        return info
    view = request.endpoint.rpartition(".")[2]
    try:
        emails = NAMED[view]() if view in NAMED else ()
    except (RequestError, HTTPException, ValueError, RecursionError):
        emails = ()
    return replace(
        info,
        operation=OPERATIONS.get(view, view),
        domain=str(values["domain"]).lower(),
        emails=tuple(emails),
    )


def _added() -> list[str]:
    """Return the addresses of a form, or of a short JSON body."""
    if request.mimetype != "application/json":
        return [
            value
            for name, value in requests.read_pairs(web.MAX_BODY)
            if name == "address"
        ]
    body = requests.read_body(web.MAX_BODY)
    records = json.loads(body) if len(body) <= MAX_GLANCE else []
    records = records if isinstance(records, list) else [records]
    addresses = [
        record.get("address") for record in records if isinstance(record, dict)
    ]
    return [address for address in addresses if isinstance(address, str)]


#: Where the views that name addresses have them.
NAMED: Mapping[str, Callable[[], list[str]]] = {
    "add": _added,
    "find": lambda: [web.path_address()],
    "remove": lambda: [web.path_address()],
}
