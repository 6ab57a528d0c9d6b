"""Mailgun v2: ``/v2/{domain}/bounces``, a list with a total, without batches.

Its twin is v3, which came after it; they share credentials and operations.
"""

from flask import Blueprint, Response
from werkzeug.datastructures import Headers

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.errors import BounceError
from sendgrid_bounces.dialects.mailgun import operations, params, web
from sendgrid_bounces.dialects.mailgun.facts import read_request_info
from sendgrid_bounces.dialects.mailgun.serializers import v2_bytes, v2_item, v2_listing
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web import requests, responses
from sendgrid_bounces.web.dialect import Dialect

bp = Blueprint("mailgun_v2", __name__, url_prefix="/v2")
bp.before_request(requests.refuse_head)

ERRORS = web.ERRORS
API_VERSION = web.ApiVersion(v2_bytes, "application/json")
bp.register_error_handler(BounceError, API_VERSION.respond_error)


@requests.route(bp, "/<domain>/bounces", "GET")
def listing(domain: str) -> Response:
    """Answer a slice of the list, the newest first, and how long the list is."""
    bounce_list = web.authenticate(domain).bounce_list
    limit, skip = params.read_slice(web.read_query())
    store = current_emulator().storage.bounces
    batches = store.find(bounce_list, BounceQuery(), limit, skip, newest_first=True)
    total = store.count(bounce_list, BounceQuery())
    headers = Headers({"Content-Type": API_VERSION.content_type})
    return responses.respond(v2_listing(total, batches), 200, headers)


@requests.route(bp, "/<domain>/bounces", "POST")
def add(domain: str) -> Response:
    """Add a bounce, or update it."""
    bounce_list = web.authenticate(domain).bounce_list
    emulator = current_emulator()
    record = web.read_arguments()
    record.pop("created_at", None)  # v3 has it
    bounce = params.read_record(record, emulator.clock.now())
    operations.add(emulator.storage.bounces, bounce_list, [bounce])
    return API_VERSION.respond({"message": web.ADDED, "address": bounce.email})


@requests.route(bp, "/<domain>/bounces/<address:_address>", "GET")
def find(domain: str, _address: str) -> Response:
    """Answer one bounce, in a wrapping that v3 has not."""
    bounce_list = web.authenticate(domain).bounce_list
    store = current_emulator().storage.bounces
    row = operations.find_one(store, bounce_list, web.path_address())
    return API_VERSION.respond({"bounce": v2_item(row)})


@requests.route(bp, "/<domain>/bounces/<address:_address>", "DELETE")
def remove(domain: str, _address: str) -> Response:
    """Remove one bounce."""
    bounce_list = web.authenticate(domain).bounce_list
    address = web.path_address()
    operations.remove_one(current_emulator().storage.bounces, bounce_list, address)
    return API_VERSION.respond({"message": web.REMOVED, "address": address})


DIALECT = Dialect(
    name="mailgun.v2",
    blueprint=bp,
    owns=lambda path: path.startswith("/v2/"),
    operations=("list", "add", "find", "remove"),
    render_error=API_VERSION.render_error,
    read_request_info=lambda: read_request_info("mailgun.v2"),
    hosts=web.HOSTS,
    key_pattern=web.KEY_PATTERN,
)
