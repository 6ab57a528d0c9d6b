"""Send a logged request again, inside the application."""

import base64
from collections.abc import Iterator
from contextlib import suppress
from contextvars import Context
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, current_app, url_for

from sendgrid_bounces.control.effects import ConnectionDropped
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.errors import ConflictError, RequestError
from sendgrid_bounces.core.messages import pluralize
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.pages.questions import Question, ask
from sendgrid_bounces.pages.snippets import pairs_of, quote_path
from sendgrid_bounces.pages.web import done, page
from sendgrid_bounces.redaction import (
    ELLIPSIS,
    MASK,
    MAX_SHOWN_PARAMETERS,
    MAX_TEXT,
    is_secret,
)
from sendgrid_bounces.web.requests import URLENCODED, request

#: The name of the snapshot that a replay offers to take, if the request changed rows.
BEFORE_REPLAY = "before-replay"

#: The statuses of requests whose bodies may be unread.
_UNREAD = (400, 408, 413, 415)

#: The methods with parameters in a form.
_WITH_FORM = ("POST", "PUT", "PATCH")

#: Requests that are looked at to find the new one.
_RECENT = 1_000


@page("/ui/requests/<int:id_>/replay")
def ask_to_replay(control: Control, id_: int) -> Response:
    """Ask for the API key before a logged request is sent again."""
    entry = control.request(id_)
    rows = pluralize(entry.rows or 0, "row")
    question = Question(
        title="Send this request again?",
        text=f"It changed {rows} the first time." if entry.rows else "",
        button="Replay",
        action=url_for("pages.replay", id_=id_),
        back=url_for("pages.one_request", id_=id_),
        twin=("this request", url_for("control.show_request", id_=id_)),
        snapshot=BEFORE_REPLAY if entry.rows else "",
        note="The log has no keys. Leave the field empty to send none. Other headers "
        "are not sent.",
        asks_key=True,
        is_safe=not entry.rows,
    )
    return ask(control, question)


@page("/ui/requests/<int:id_>/replay", "POST")
def replay(control: Control, id_: int) -> Response:
    """Send a logged request again, and show the new one."""
    entry = control.request(id_)
    if obstacle := find_obstacle(entry):
        raise ConflictError(f"request {id_} cannot be sent again: {obstacle}")
    if request.form.get("snapshot"):
        control.take_snapshot(BEFORE_REPLAY)
    agent = f"sendgrid_bounces dashboard, replay of request {id_}"
    last = last_id(control)
    with suppress(ConnectionDropped):  # a fault rule; the request is logged
        options = _options(entry, request.form.get("key", ""), agent)
        response = call_api(quote_path(entry.path), **options)
        for _ in response.iter_encoded():  # the log has its size
            pass
    found = find_logged(control, last, agent)
    return done("pages.one_request", "replayed", id_=found.id if found else id_)


def find_obstacle(entry: LoggedRequest) -> str:
    """Return why the log has too little of a request to send it again, or nothing."""
    pairs = pairs_of(entry)
    values = [entry.path, *(value for name, value in pairs if not is_secret(name))]
    is_read = entry.method == "GET"
    if entry.dialect == "sendgrid.v3" and not is_read:
        return "the log does not keep its body, nor the header On-Behalf-Of"
    if entry.operation in ("add", "import") and not pairs:
        return "the log does not keep bodies in JSON and files"
    if any(MASK in value for value in values):
        return "a value is masked"
    return find_danger(entry)


def find_danger(entry: LoggedRequest) -> str:
    """Return why a request as in the log could do more than the first, or nothing.

    Some deletions without parameters erase a list.
    """
    pairs = pairs_of(entry)
    if not {".", ".."}.isdisjoint(entry.path.split("/")):
        return "its path has dot segments, which clients resolve"
    values = [entry.path, *(value for _, value in pairs)]
    is_cut = ELLIPSIS in entry.parameters or any(len(v) >= MAX_TEXT for v in values)
    if is_cut or len(pairs) >= MAX_SHOWN_PARAMETERS:
        return "the log does not keep all of its parameters"
    if entry.operation in ("delete", None) and entry.status in _UNREAD:
        return "it was refused, perhaps unread: the log may lack its parameters"
    return ""


def call_api(path: str, app: Flask | None = None, **options: Any) -> Any:
    """Make a call in this process, as a client would over HTTP.

    :param app: the application to call; by default the current one.
    :param options: options of Werkzeug's test client.
    :raises ConnectionDropped: if a fault rule drops the connection.
    :raises RequestError: if a header has a line break.
    """
    if any({"\r", "\n"} & {*value} for value in options["headers"].values()):
        raise RequestError("a header cannot have a line break")
    # An empty context, so that the two requests do not share `flask.g`.
    return Context().run((app or current_app).test_client().open, path, **options)


def last_id(control: Control) -> int:
    """Return the identifier of the newest logged request; 0 without one."""
    return max((each.id for each in control.requests(1)), default=0)


def find_logged(control: Control, after: int, agent: str) -> LoggedRequest | None:
    """Return the newest request of the client *agent* after the request *after*."""
    added = control.requests(_RECENT, after=after)
    return next((each for each in added[::-1] if each.user_agent == agent), None)


def basic(user: str, key: str) -> str:
    """Return the header of HTTP Basic authentication."""
    return f"Basic {base64.b64encode(f'{user}:{key}'.encode()).decode()}"


def _options(entry: LoggedRequest, key: str, agent: str) -> dict[str, Any]:
    """Return the arguments of :func:`call_api` besides the path."""
    pairs = [(n, key if v == MASK else v) for n, v in pairs_of(entry)]
    headers = {"Accept": "*/*", "User-Agent": agent, **dict(_authorization(entry, key))}
    options = {"method": entry.method, "headers": headers}
    if entry.method not in _WITH_FORM:
        return {**options, "query_string": urlencode(pairs)}
    return {**options, "data": urlencode(pairs), "content_type": URLENCODED}


def _authorization(entry: LoggedRequest, key: str) -> Iterator[tuple[str, str]]:
    """Yield the header with the key, if the request had the key there."""
    if not key or any(map(is_secret, entry.parameters)):
        return
    if entry.dialect == "sendgrid.v3":
        yield "Authorization", f"Bearer {key}"
    elif entry.dialect.startswith("mailgun."):
        yield "Authorization", basic("api", key)
    elif entry.account:
        yield "Authorization", basic(entry.account, key)
