"""Mailgun v3: ``/v3/{domain}/bounces``, paged by address, with batches and imports.

Its twin is v2, older and smaller; they share credentials and operations.
"""

from flask import Blueprint, Response, request

from sendgrid_bounces.core.errors import BounceError
from sendgrid_bounces.dialects.mailgun import operations, params, web
from sendgrid_bounces.dialects.mailgun.facts import read_request_info
from sendgrid_bounces.dialects.mailgun.paging import paging
from sendgrid_bounces.dialects.mailgun.serializers import v3_bytes, v3_item
from sendgrid_bounces.dialects.mailgun.uploads import open_upload
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web import requests
from sendgrid_bounces.web.dialect import Dialect

bp = Blueprint("mailgun_v3", __name__, url_prefix="/v3")
bp.before_request(requests.refuse_head)

ERRORS = web.ERRORS
API_VERSION = web.ApiVersion(v3_bytes, "application/json; charset=utf-8")
bp.register_error_handler(BounceError, API_VERSION.respond_error)


@requests.route(bp, "/<domain>/bounces", "GET")
def listing(domain: str) -> Response:
    """Answer a page of the list."""
    bounce_list = web.authenticate(domain).bounce_list
    wanted = params.read_page(web.read_query())
    store = current_emulator().storage.bounces
    rows = store.page(bounce_list, wanted.page, wanted.limit)
    items = [v3_item(row) for row in rows]
    return API_VERSION.respond(
        {"items": items, "paging": paging(web.list_url(), wanted, items)}
    )


@requests.route(bp, "/<domain>/bounces", "POST")
def add(domain: str) -> Response:
    """Add a bounce from a form, or a batch of them from JSON.

    Wire: JSON is answered with the count only, also for one record.
    """
    bounce_list = web.authenticate(domain).bounce_list
    emulator = current_emulator()
    now, store = emulator.clock.now(), emulator.storage.bounces
    if request.mimetype == "application/json":
        batch = params.read_batch(requests.read_body(web.MAX_BODY), now)
        operations.add(store, bounce_list, batch)
        message = f"{len(batch)} addresses have been added to the bounces table"
        return API_VERSION.respond({"message": message})
    bounce = params.read_record(web.read_arguments(), now)
    operations.add(store, bounce_list, [bounce])
    return API_VERSION.respond({"message": web.ADDED, "address": bounce.email})


@requests.route(bp, "/<domain>/bounces", "DELETE")
def clear(domain: str) -> Response:
    """Remove all; a body, which some clients send, means nothing."""
    bounce_list = web.authenticate(domain).bounce_list
    operations.clear(current_emulator().storage.bounces, bounce_list)
    return API_VERSION.respond(
        {"message": "Bounced addresses for this domain have been removed"}
    )


@requests.route(bp, "/<domain>/bounces/<address:_address>", "GET")
def find(domain: str, _address: str) -> Response:
    """Answer one bounce."""
    bounce_list = web.authenticate(domain).bounce_list
    store = current_emulator().storage.bounces
    return API_VERSION.respond(
        v3_item(operations.find_one(store, bounce_list, web.path_address()))
    )


@requests.route(bp, "/<domain>/bounces/<address:_address>", "DELETE")
def remove(domain: str, _address: str) -> Response:
    """Remove one bounce."""
    bounce_list = web.authenticate(domain).bounce_list
    address = web.path_address()
    operations.remove_one(current_emulator().storage.bounces, bounce_list, address)
    return API_VERSION.respond({"address": address, "message": web.REMOVED})


@requests.route(bp, "/<domain>/bounces/import", "POST")
def import_(domain: str) -> Response:
    """Store the bounces of a CSV file; when this is answered, they are stored."""
    bounce_list = web.authenticate(domain).bounce_list
    emulator = current_emulator()
    now, lines = emulator.clock.now(), open_upload()
    operations.add(emulator.storage.bounces, bounce_list, params.read_csv(lines, now))
    return API_VERSION.respond(
        {"message": "file uploaded successfully for processing. standby..."}, 202
    )


DIALECT = Dialect(
    name="mailgun.v3",
    blueprint=bp,
    owns=lambda path: path.startswith("/v3/"),
    operations=("list", "add", "find", "remove", "clear", "import"),
    render_error=API_VERSION.render_error,
    read_request_info=lambda: read_request_info("mailgun.v3"),
    hosts=web.HOSTS,
    key_pattern=web.KEY_PATTERN,
)
