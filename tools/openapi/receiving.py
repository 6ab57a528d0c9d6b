"""The section of the endpoints of sources."""

from collections.abc import Callable, Mapping
from typing import Any

from sendgrid_bounces.core.sources import COUNTERS, MAX_SOURCE_NAME
from sendgrid_bounces.schemas.sources import SOURCE
from sendgrid_bounces.sources import KINDS
from sendgrid_bounces.sources.kinds import MAX_BODY, MAX_UNVERIFIED_BODY
from sendgrid_bounces.storage.sources import MAX_SOURCES
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
    array,
    control_view,
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
    413: f"The body exceeds {MAX_BODY} bytes, or {MAX_UNVERIFIED_BODY} bytes if the "
    "signature stands in the body.",
    503: "The database does not answer, or a secret cannot be read: try again.",
}

_NULLABLE: Part = {"type": ["string", "null"]}
_NULLABLE_INSTANT: Part = {"type": ["string", "null"], "format": "date-time"}

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


SUMMARY: Part = {
    **record({"number": NUMBER, "refused": NUMBER, "last_event": _NULLABLE_INSTANT}),
    "description": "Absent without sources.",
}

#: Of the control endpoints.
CONTROL_SCHEMAS: Mapping[str, Any] = {
    "NewSource": SOURCE,
    "SourceReport": record(
        {
            "name": STRING,
            "owner": STRING,
            "kind": {**STRING, "description": "What posts the events."},
            "path": {
                **_NULLABLE,
                "description": "null for mails that are piped into a command.",
            },
            "verified_by": array(STRING),
            **dict.fromkeys(COUNTERS, NUMBER),
            "last_event": _NULLABLE_INSTANT,
            "last_problem": _NULLABLE_INSTANT,
            "problem": {
                **STRING,
                "description": "The latest refusal or invalid event.",
            },
            "confirm_url": {
                **STRING,
                "description": "The URL that confirms a subscription of Amazon SNS.",
            },
        }
    ),
    "Pull": record(
        {
            "owner": STRING,
            "service": STRING,
            "finished": _NULLABLE_INSTANT,
            "start": _NULLABLE_INSTANT,
            "end": _NULLABLE_INSTANT,
            "rows": NUMBER,
            "changed": NUMBER,
            "removed": NUMBER,
            "failed": _NULLABLE_INSTANT,
            "problem": STRING,
        }
    ),
}

CONTROL_VIEWS: Mapping[str, Callable[[Target], Part]] = {
    "control.list_sources": control_view(
        record(
            {
                "sources": array(ref("SourceReport"), maxItems=MAX_SOURCES),
                "pulls": array(ref("Pull")),
            }
        )
    ),
    "control.add_source": control_view(
        ref("SourceReport"), 404, 409, content={JSON: ref("NewSource")}, status=201
    ),
    "control.remove_source": control_view(
        record({"removed": STRING}), 404, path=("source_name",)
    ),
}

CONTROL_PARAMETERS: Mapping[str, Part] = {
    "source_name": {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_SOURCE_NAME},
        "example": "hook",
    }
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
