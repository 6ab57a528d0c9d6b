"""Mailgun v2: ``/v2/{domain}/bounces``, a list with a total, without batches."""

from functools import partial

from sendgrid_bounces.dialects.mailgun import operations, params, web
from sendgrid_bounces.dialects.mailgun.serializers import V2
from sendgrid_bounces.web.dialect import Dialect
from sendgrid_bounces.web.responses import Response, respond

NAME = "mailgun.v2"

bp = web.blueprint("mailgun_v2", "/v2", V2)


@bp.get("/<domain>/bounces", endpoint="list")
def list_bounces(domain: str) -> Response:
    """Return a part of the list, newest first, and the length of the list."""
    call = web.open_call(domain)
    wanted = params.read_slice(web.read_query())
    return respond(V2, operations.list_slice(call, wanted))


@bp.post("/<domain>/bounces", endpoint="add")
def add(domain: str) -> Response:
    """Add a bounce, or replace the bounce of its address."""
    call = web.open_call(domain)
    arguments = web.read_arguments()
    bounce = params.read_form(params.RECORD_V2, arguments, call.clock.now())
    return respond(V2, operations.add(call, bounce))


@bp.get("/<domain>/bounces/<address:_address>", endpoint="find")
def find(domain: str, _address: str) -> Response:
    """Return one bounce, nested in an object."""
    call = web.open_call(domain)
    return respond(V2, operations.find(call, web.path_address()))


@bp.delete("/<domain>/bounces/<address:_address>", endpoint="remove")
def remove(domain: str, _address: str) -> Response:
    """Remove one bounce."""
    call = web.open_call(domain)
    return respond(V2, operations.remove(call, web.path_address()))


DIALECT = Dialect(
    name=NAME,
    blueprint=bp,
    owns=("/v2/",),
    operations=("list", "add", "find", "remove"),
    render_error=partial(web.render_error, V2),
    read_request_info=partial(web.read_request_info, NAME),
    hosts=web.HOSTS,
    key_pattern=web.KEY_PATTERN,
    key_hints=web.KEY_HINTS,
)
