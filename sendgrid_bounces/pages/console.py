"""The console: a form for each call of the vendors' APIs, from their description."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any
from urllib.parse import quote, urlencode

from flask import Response, url_for
from werkzeug.exceptions import NotFound

from sendgrid_bounces.control import CONTROL_PATH
from sendgrid_bounces.control.effects import ConnectionDropped
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.control.views import DESCRIPTION
from sendgrid_bounces.core.messages import pluralize
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.pages.preview import Deletion, current_preview
from sendgrid_bounces.pages.questions import Question, ask
from sendgrid_bounces.pages.replay import basic, call_api, find_logged, last_id
from sendgrid_bounces.pages.snippets import as_curl, as_pytest
from sendgrid_bounces.pages.web import FRAGMENT, html, page, render
from sendgrid_bounces.web.requests import URLENCODED, request

#: Characters of a response that the page shows.
MAX_SHOWN = 100_000

#: Bytes of a response that are kept: a character has at most four.
MAX_BYTES = 4 * MAX_SHOWN

#: The names of the credentials in the form.
USER, KEY = "auth_user", "auth_key"

#: The identifier of the form.
FORM = "call-form"

#: The name of the snapshot that a deletion offers to take.
BEFORE_CALL = "before-call"

#: The User-Agent header of a call.
AGENT = "sendgrid_bounces dashboard, console"

#: The call of the first form.
DEFAULT = "GET /api/bounces.get.json"

_JSON = "application/json"

#: The headers and the parameters that carry a user name and a key, by the scheme of the
#: description; empty without one.
_CREDENTIALS: Mapping[
    str, Callable[[str, str], tuple[dict[str, str], dict[str, str]]]
] = {
    "": lambda _user, _key: ({}, {}),
    "apiKey": lambda user, key: ({}, {"api_user": user, "api_key": key}),
    "basic": lambda _user, key: ({"Authorization": basic("api", key)}, {}),
    "bearer": lambda _user, key: ({"Authorization": f"Bearer {key}"}, {}),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter of a call.

    :param place: ``path``, ``query``, ``header`` or ``body``.
    """

    name: str
    place: str
    description: str = ""
    is_required: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """An operation of the description.

    :param scheme: how the credentials are sent; empty without credentials.
    :param body: the media type of the body; empty without a body.
    """

    id: str
    group: str
    method: str
    path: str
    summary: str
    fields: tuple[Field, ...]
    scheme: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a call.

    :param status: None if a fault rule dropped the connection.
    :param entry: of the request log; None if the log is off or full.
    """

    status: str | None
    milliseconds: float
    entry: LoggedRequest | None
    size: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


@page("/ui/console")
def console(control: Control) -> Response:
    """Show the calls, and the form of one."""
    return _show(control, _selected(request.args), request.args)


@page("/ui/console", "POST")
def send(control: Control) -> Response:
    """Make a call, and show the response; ask first if it deletes several bounces."""
    form = request.form
    call = _selected(form)
    path, options = _prepare(call, form)
    is_fragment = bool(request.headers.get(FRAGMENT))
    if not form.get("confirmed"):
        deletion = current_preview().find_deletion(path, **options)
        if deletion and is_fragment:
            return ask(control, _question(call, deletion))
        if deletion:
            return _show(control, call, form, question=_question(call, deletion))
    if is_fragment:
        return html("", 204)
    if form.get("snapshot"):
        control.take_snapshot(BEFORE_CALL)
    return _show(control, call, form, answer=_make(control, path, options))


def _question(call: Call, deletion: Deletion) -> Question:
    number, total = f"{deletion.number:,}", pluralize(deletion.total, "bounce")
    is_all = deletion.number == deletion.total
    amount = f"all {total}" if is_all else f"{number} of the {total}"
    return Question(
        title="Make this call?",
        text=f"Deletes {amount} of {deletion.owner}.",
        button=f"Delete {pluralize(deletion.number, 'bounce')}",
        action=url_for("pages.send"),
        back=url_for("pages.console", call=call.id),
        twin=("description of the calls", url_for("control.show_description")),
        snapshot=BEFORE_CALL,
        form=FORM,
    )


def _show(
    control: Control,
    call: Call,
    values: Mapping[str, str],
    *,
    answer: Answer | None = None,
    question: Question | None = None,
) -> Response:
    entry = answer and answer.entry
    groups: dict[str, list[Call]] = {}
    for each in read_calls().values():
        groups.setdefault(each.group, []).append(each)
    return render(
        control,
        "console.html",
        call=call,
        groups=groups,
        values=values,
        answer=answer,
        curl=entry and as_curl(entry, request.server_url),
        test=entry and as_pytest(entry),
        question=question,
        form=FORM,
    )


def _selected(values: Mapping[str, str]) -> Call:
    """Return the call that the parameters name, or the default."""
    calls = read_calls()
    name = values.get("call") or DEFAULT
    if name not in calls:
        raise NotFound("There is no such call.")
    return calls[name]


def _prepare(call: Call, values: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the path of *call*, and the arguments of :func:`call_api` besides it."""
    sent = {
        place: {
            field.name: values[field.name]
            for field in call.fields
            if field.place == place and values.get(field.name)
        }
        for place in ("path", "query", "header", "body")
    }
    path = call.path
    for name, value in sent["path"].items():
        path = path.replace(f"{{{name}}}", quote(value, safe="@"))
    user, key = values.get(USER, ""), values.get(KEY, "")
    headers, login = _CREDENTIALS[call.scheme](user, key)
    headers |= sent["header"]
    data: str | bytes | None = None
    if call.body == URLENCODED:
        data = urlencode({**login, **sent["body"]})
    elif call.body == _JSON:
        data = values.get("json", "")
    if call.body != URLENCODED:
        sent["query"] = {**login, **sent["query"]}
    return path, {
        "method": call.method,
        "query_string": urlencode(sent["query"]),
        "data": data,
        "content_type": call.body or None,
        "headers": {"Accept": "*/*", "User-Agent": AGENT, **headers},
    }


def _make(control: Control, path: str, options: Mapping[str, Any]) -> Answer:
    """Make a call in this process, as a client would over HTTP."""
    last = last_id(control)
    started = perf_counter()
    try:
        response = call_api(path, **options)
        body, size = _read_body(response.iter_encoded())
    except ConnectionDropped:
        elapsed = (perf_counter() - started) * 1000
        return Answer(None, elapsed, find_logged(control, last, AGENT))
    elapsed = (perf_counter() - started) * 1000
    return Answer(
        response.status,
        elapsed,
        find_logged(control, last, AGENT),
        size,
        tuple(response.headers.items()),
        body.decode(errors="replace")[:MAX_SHOWN],
    )


def _read_body(pieces: Iterable[bytes]) -> tuple[bytes, int]:
    """Return the part of a body that can be shown, and the length of all of it."""
    shown, size = bytearray(), 0
    for piece in pieces:
        shown += piece[: MAX_BYTES - len(shown)]
        size += len(piece)
    return bytes(shown), size


@cache
def read_calls() -> dict[str, Call]:
    """Return the calls of the vendors' APIs, by name."""
    return find_calls(json.loads(DESCRIPTION.read_bytes()))


def find_calls(description: Any) -> dict[str, Call]:
    """Return the calls in an OpenAPI description, by name."""
    calls: dict[str, Call] = {}
    for path, methods in description["paths"].items():
        if path.startswith((f"{CONTROL_PATH}/", "/_")) or path.endswith("/"):
            continue
        for method, operation in methods.items():
            call = _read_call(description, path, method, operation)
            if call is not None:
                calls.setdefault(call.id, call)
    return calls


def _read_call(description: Any, path: str, method: str, operation: Any) -> Call | None:
    content = _resolve(description, operation.get("requestBody", {})).get("content", {})
    body = next((kind for kind in (URLENCODED, _JSON) if kind in content), "")
    if content and not body:
        return None  # a file
    fields = [*_parameters(description, operation)]
    if body == URLENCODED:
        fields += _properties(description, content[body]["schema"])
    return Call(
        id=f"{method.upper()} {path}",
        group=operation["tags"][0],
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        fields=tuple(
            each for each in fields if each.name not in ("api_user", "api_key")
        ),
        scheme=_read_scheme(description, operation),
        body=body,
    )


def _read_scheme(description: Any, operation: Any) -> str:
    """Return the first scheme of the credentials of *operation*."""
    names = next(iter(operation.get("security", ())), ())
    schemes = description["components"]["securitySchemes"]
    found = [schemes[name] for name in names]
    return next((each.get("scheme", each["type"]) for each in found), "")


def _parameters(description: Any, operation: Any) -> Iterator[Field]:
    for raw in operation.get("parameters", ()):
        parameter = _resolve(description, raw)
        schema = _resolve(description, parameter.get("schema", {}))
        yield Field(
            parameter["name"],
            parameter["in"],
            parameter.get("description", schema.get("description", "")),
            parameter.get("required", False),
            tuple(map(str, schema.get("enum", ()))),
        )


def _properties(description: Any, schema: Any) -> Iterator[Field]:
    schema = _resolve(description, schema)
    for part in schema.get("allOf", ()):
        yield from _properties(description, part)
    for name, raw in schema.get("properties", {}).items():
        found = _resolve(description, raw)
        yield Field(
            name,
            "body",
            found.get("description", ""),
            name in schema.get("required", ()),
            tuple(map(str, found.get("enum", ()))),
        )


def _resolve(description: Any, part: Any) -> Any:
    """Follow the reference of *part*, if it is one."""
    while "$ref" in part:
        found = description
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part
