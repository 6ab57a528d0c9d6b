"""Mailgun v3: ``/v3/{domain}/bounces``, paged by address, with batches and imports."""

from functools import partial

from sendgrid_bounces.dialects.mailgun import operations, params, web
from sendgrid_bounces.dialects.mailgun.serializers import V3
from sendgrid_bounces.web.dialect import Dialect
from sendgrid_bounces.web.requests import request
from sendgrid_bounces.web.responses import Response, respond

NAME = "mailgun.v3"

bp = web.blueprint("mailgun_v3", "/v3", V3)


@bp.get("/<domain>/bounces", endpoint="list")
def list_bounces(domain: str) -> Response:
    """Return a page of the list, by address."""
    call = web.open_call(domain)
    wanted = params.read_page(web.read_query())
    return respond(V3, operations.list_page(call, wanted, web.list_url()))


@bp.post("/<domain>/bounces", endpoint="add")
def add(domain: str) -> Response:
    """Add a bounce from a form, or a batch from JSON.

    Wire: the response to JSON contains only the count, also for one record.
    """
    call = web.open_call(domain)
    now = call.clock.now()
    if request.mimetype == "application/json":
        batch = params.read_batch(web.read_body(), now)
        return respond(V3, operations.add_batch(call, batch))
    bounce = params.read_form(params.RECORD_V3, web.read_arguments(), now)
    return respond(V3, operations.add(call, bounce))


@bp.delete("/<domain>/bounces", endpoint="clear")
def clear(domain: str) -> Response:
    """Remove the whole list.

    Wire: some clients send a body, which is ignored.
    """
    return respond(V3, operations.clear(web.open_call(domain)))


@bp.get("/<domain>/bounces/<address:_address>", endpoint="find")
def find(domain: str, _address: str) -> Response:
    """Return one bounce."""
    call = web.open_call(domain)
    return respond(V3, operations.find(call, web.path_address()))


@bp.delete("/<domain>/bounces/<address:_address>", endpoint="remove")
def remove(domain: str, _address: str) -> Response:
    """Remove one bounce."""
    call = web.open_call(domain)
    return respond(V3, operations.remove(call, web.path_address()))


@bp.post("/<domain>/bounces/import", endpoint="import")
def import_file(domain: str) -> Response:
    """Add the bounces of a CSV file before the response is sent."""
    call = web.open_call(domain)
    bounces = params.read_csv(web.open_upload(), call.clock.now())
    return respond(V3, operations.import_file(call, bounces), 202)


DIALECT = Dialect(
    name=NAME,
    blueprint=bp,
    owns=("/v3/",),
    operations=("list", "add", "find", "remove", "clear", "import"),
    render_error=partial(web.render_error, V3),
    read_request_info=partial(web.read_request_info, NAME),
    hosts=web.HOSTS,
    key_pattern=web.KEY_PATTERN,
    key_hints=web.KEY_HINTS,
)
