"""The section of the endpoints of sources."""

from collections.abc import Mapping

from sendgrid_bounces.core.sources import KINDS
from sendgrid_bounces.receiving import views
from tools.openapi.parts import (
    FORM,
    JSON,
    MULTIPART,
    NUMBER,
    STRING,
    TEXT,
    Part,
    Section,
    Target,
    record,
    ref,
    response,
)

MAIL = "message/rfc822"

#: The reason of each error status.
ERRORS: Mapping[int, str] = {
    400: "The body cannot be read.",
    401: "The signature or the token is missing or wrong.",
    404: "There is no such source.",
    406: "Mailgun: the signature is wrong, or the body cannot be read.",
    413: f"The body exceeds {views.MAX_BODY} bytes.",
    503: "The database does not answer, or a secret cannot be read: try again.",
}

_PARAMETERS: list[Part] = [
    {"in": "path", "name": "name", "required": True, "schema": STRING}
]


def _errors(*statuses: int) -> dict[str, Part]:
    return {
        str(status): response(ERRORS[status], {JSON: ref("SourceError")})
        for status in statuses
    }


def _receive(_: Target) -> Part:
    media = (JSON, TEXT, FORM, MULTIPART, MAIL)
    return {
        "description": "The kind of the source decides on the body and on the "
        "signature. Invalid events are skipped; the others are stored.",
        "security": [{}, {"source_token": []}, {"source_password": []}],
        "parameters": _PARAMETERS,
        "requestBody": {"content": {each: {} for each in media}},
        "responses": {
            "200": response("Received.", {JSON: ref("Received")}),
            **_errors(*ERRORS),
        },
    }


def _probe(_: Target) -> Part:
    return {
        "security": [],
        "parameters": _PARAMETERS,
        "responses": {
            "200": response("The source exists.", {JSON: ref("Probe")}),
            **_errors(404, 503),
        },
    }


SECTION = Section(
    tag=("Sources", "Endpoints for the events of mail systems and providers."),
    security={
        "source_token": {"type": "http", "scheme": "bearer"},
        "source_password": {"type": "http", "scheme": "basic"},
    },
    schemas={
        "Received": record(
            {
                "listed": {**NUMBER, "description": "Events that changed the list."},
                "known": {
                    **NUMBER,
                    "description": "Repeats, events older than the bounce on the list, "
                    "and events from before a deletion.",
                },
                "ignored": {**NUMBER, "description": "Events that are not bounces."},
                "skipped": {**NUMBER, "description": "Invalid events."},
            }
        ),
        "Probe": record({"source": STRING, "kind": {"enum": [*KINDS]}}),
        "SourceError": record({"error": STRING}),
    },
    parameters={},
    responses={},
    views={"receiving.receive": _receive, "receiving.probe": _probe},
)
