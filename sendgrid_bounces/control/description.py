"""The endpoint of the description of all routes, in OpenAPI.

It is a file that :mod:`tools.openapi` has written, which lies beside this.
"""

from pathlib import Path

from flask import Response

from sendgrid_bounces.control.api import blueprint, read_parameters
from sendgrid_bounces.web.requests import route

bp = blueprint("description")

FILE = Path(__file__).with_name("openapi.json")


@route(bp, "/openapi.json", "GET")
def show() -> Response:
    """Answer the description of all routes."""
    read_parameters()
    return Response(FILE.read_bytes(), content_type="application/json")
