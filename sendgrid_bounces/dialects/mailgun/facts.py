"""What a request of v2 or v3 is about, before anybody has proven to be its caller."""

import json
from collections.abc import Callable, Mapping

from flask import request
from werkzeug.exceptions import HTTPException

from sendgrid_bounces.core.errors import RequestError
from sendgrid_bounces.core.faults import Facts
from sendgrid_bounces.dialects.mailgun import web
from sendgrid_bounces.web import requests

#: How much JSON is read only to see what it is about.
MAX_GLANCE = 64 * 1024

#: What the views' functions are called as operations.
OPERATIONS = {"listing": "list", "import_": "import"}


def read_facts() -> Facts:
    """Return what the request is about; nothing of what does not parse.

    An uploaded file is not read, and whose key it is that was sent is not asked.
    """
    values = request.view_args or {}
    if request.endpoint is None or "domain" not in values:
        return Facts()
    view = request.endpoint.rpartition(".")[2]
    try:
        emails = NAMED[view]() if view in NAMED else ()
    except (RequestError, HTTPException, ValueError, RecursionError):
        emails = ()
    operation = OPERATIONS.get(view, view)
    return Facts(operation, None, str(values["domain"]).lower(), tuple(emails))


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
