"""The request log: the list and the details of one request."""

from collections.abc import Mapping
from typing import Any

from flask import Response, url_for

from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.messages import pluralize
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.bodies import DEFAULT_VIEW, VIEWS
from sendgrid_bounces.pages.questions import Question, ask
from sendgrid_bounces.pages.replay import find_danger, find_obstacle
from sendgrid_bounces.pages.snippets import as_curl, as_pytest
from sendgrid_bounces.pages.web import IDENTIFIER, done, html, page, render
from sendgrid_bounces.schemas.base import load
from sendgrid_bounces.schemas.faults import dialect_names, operation_names
from sendgrid_bounces.schemas.requests import COUNT
from sendgrid_bounces.web.requests import request

#: Requests on the page.
SHOWN = 200

#: The parameters of a filter.
FILTERS = ("account", "domain", "operation", "dialect", "status", "since")


@page("/ui/requests")
def requests(control: Control) -> Response:
    """Show the last requests that match a filter."""
    return _show(control, None)


@page("/ui/requests/<int:id_>")
def one_request(control: Control, id_: int) -> Response:
    """Show a request beside the last requests, and its response in a view."""
    return _show(control, control.request(id_), request.args.get("view", DEFAULT_VIEW))


@page("/ui/requests/rows")
def request_rows(control: Control) -> Response:
    """Return the rows of the requests after a request, newest first."""
    after = request.args.get("after", "0")
    if not IDENTIFIER.fullmatch(after):
        raise ParametersError([("after", "must be the identifier of a request")])
    found = control.requests(SHOWN, after=int(after), **_filters())
    if not found:
        return html("", 204)
    response = render(control, "_request_rows.html", requests=found[::-1])
    response.headers["X-Last-Id"] = str(found[-1].id)
    return response


@page("/ui/requests/clear")
def ask_to_clear_requests(control: Control) -> Response:
    """Ask before the request log is cleared."""
    number = pluralize(control.count_requests(), "logged request")
    question = Question(
        title="Clear the request log?",
        text=f"Removes {number}.",
        button=f"Clear {number}",
        action=url_for("pages.clear_requests"),
        back=url_for("pages.requests"),
        twin=("requests", url_for("control.list_requests")),
    )
    return ask(control, question)


@page("/ui/requests", "POST")
def clear_requests(control: Control) -> Response:
    """Clear the request log."""
    control.clear_requests()
    return done("pages.requests", "log-cleared")


def _filters() -> dict[str, Any]:
    """Return the filter of the URL.

    :raises ParametersError: with every problem.
    """
    return load(COUNT, _given())


def _given() -> Mapping[str, str]:
    return {name: request.args[name] for name in FILTERS if request.args.get(name)}


def _show(
    control: Control, shown: LoggedRequest | None, view: str = DEFAULT_VIEW
) -> Response:
    error, found = None, []
    try:
        found = control.requests(SHOWN, **_filters())[::-1]
    except ParametersError as problem:
        error = problem
    if view not in VIEWS:
        unknown = ("view", f"must be one of {', '.join(VIEWS)}")
        error = ParametersError([*(error.problems if error else ()), unknown])
        view = DEFAULT_VIEW
    operations = current_emulator().operations
    curl = test = ""
    if shown is not None and not find_danger(shown):
        curl, test = as_curl(shown, request.server_url), as_pytest(shown)
    return render(
        control,
        "requests.html",
        error=error,
        requests=found,
        last=found[0].id if found else 0,
        shown=shown,
        filters=_given(),
        choices={
            "dialect": dialect_names(operations),
            "operation": operation_names(operations),
        },
        count=control.count_requests(),
        keep=SHOWN,
        why=shown and control.explain(shown),
        obstacle=shown and find_obstacle(shown),
        views=VIEWS,
        view=view,
        body=shown and VIEWS[view](shown.response),
        curl=curl,
        test=test,
    )
