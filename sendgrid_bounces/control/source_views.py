"""The routes of sources."""

from http import HTTPStatus
from typing import Any

from sendgrid_bounces.control import api, documents
from sendgrid_bounces.control.api import route
from sendgrid_bounces.control.service import Control


@route("/sources", "GET")
def list_sources(control: Control) -> dict[str, Any]:
    """List the sources of bounces and the latest pulls, with their results."""
    return {
        "sources": [documents.render_source(each) for each in control.sources()],
        "pulls": [documents.render_pull(each) for each in control.pulls()],
    }


@route("/sources", "POST", body=api.read_json, status=HTTPStatus.CREATED)
def add_source(control: Control, body: Any) -> dict[str, Any]:
    """Add a source of bounces."""
    return documents.render_source(control.add_source(body))


@route("/sources/<address:name>", "DELETE")
def remove_source(control: Control, name: str) -> dict[str, Any]:
    """Remove a source of bounces."""
    control.remove_source(name)
    return {"removed": name}
