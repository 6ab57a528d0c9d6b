"""A toy dialect, complete and small: lists in plain text under ``/toy/``."""

import re
from dataclasses import dataclass

from flask import Blueprint

from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.errors import (
    BounceError,
    CredentialsError,
    ParametersError,
)
from sendgrid_bounces.core.requests import RequestInfo
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web.dialect import Dialect
from sendgrid_bounces.web.requests import refuse_head, request
from sendgrid_bounces.web.responses import ErrorTable, Response, look_up, respond

NAME = "toy.v1"

bp = Blueprint("toy_v1", __name__, url_prefix="/toy")
bp.before_request(refuse_head)


@dataclass(frozen=True, slots=True)
class Text:
    """The only document."""

    text: str
    rows_changed: int | None = None


class TextSerializer:
    """The only serializer."""

    headers = {"Content-Type": "text/plain; charset=utf-8"}

    def pieces(self, document: Text) -> list[bytes]:
        """Return the bytes of *document*."""
        return [document.text.encode()]


TEXT = TextSerializer()

ERRORS_BY_TYPE: ErrorTable = {
    CredentialsError: (401, lambda _: Text("wrong key")),
    ParametersError: (400, lambda error: Text(f"wrong {error.problems[0][0]}")),
    BounceError: (500, lambda _: Text("broken")),
}


@bp.errorhandler(BounceError)
def respond_error(error: BounceError) -> Response:
    """Return the response to *error*."""
    status, document = look_up(error, ERRORS_BY_TYPE)
    return respond(TEXT, document, status)


def render_error(status: int, path: str, account: str | None = None) -> Response:
    """Return a routing error or an injected fault."""
    del path, account
    return respond(TEXT, Text(f"error {status}"), status)


def authenticate() -> Account:
    """Return the account of the Basic credentials."""
    basic = request.authorization
    if basic is None or basic.type != "basic":
        raise CredentialsError
    authenticator = current_emulator().authenticator
    return authenticator.authenticate(basic.username or "", basic.password or "")


@bp.get("/bounces", endpoint="list")
def list_bounces() -> Response:
    """Return the addresses of the list."""
    account = authenticate()
    store = current_emulator().storage.bounces
    batches = store.find_brief(account.bounce_list, BounceQuery())
    lines = [email for rows in batches for email, *_ in rows]
    return respond(TEXT, Text("\n".join(lines)))


@bp.delete("/bounces/<address:email>", endpoint="drop")
def drop(email: str) -> Response:
    """Remove one address."""
    if not re.fullmatch("[^@]+@[^@]+", email):
        raise ParametersError([("address", "must contain an @")])
    account = authenticate()
    emulator, query = current_emulator(), BounceQuery(emails=(email,))
    dropped = emulator.storage.bounces.delete(
        account.bounce_list, query, clock=emulator.clock
    )
    return respond(TEXT, Text(f"dropped {dropped}", dropped))


def read_request_info() -> RequestInfo:
    """Describe the current request."""
    basic, values = request.authorization, request.view_args or {}
    return RequestInfo(
        NAME,
        request.method,
        request.path,
        operation=(request.endpoint or "").partition(".")[2] or None,
        account=basic.username if basic is not None else None,
        emails=(values["email"],) if "email" in values else (),
    )


TOY = Dialect(
    name=NAME,
    blueprint=bp,
    owns=("/toy/",),
    operations=("list", "drop"),
    render_error=render_error,
    read_request_info=read_request_info,
    hosts=("api.toy.example",),
    key_pattern=r"\btoy_[0-9]{8}",
)
