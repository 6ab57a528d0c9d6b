"""SendGrid's faces: the direct calls, and the resellers' dispatcher."""

from collections.abc import Callable, Mapping
from typing import Any

from sendgrid_bounces.dialects.sendgrid import direct as calls
from sendgrid_bounces.dialects.sendgrid import (
    operations,
    params,
    reseller,
    serializers,
    web,
)
from sendgrid_bounces.dialects.sendgrid.documents import (
    BounceListing,
    Count,
    Document,
    ErrorList,
    Message,
)
from sendgrid_bounces.dialects.sendgrid.profiles import RESELLER_PROFILE
from tools.openapi.parts import (
    FORM,
    HTML,
    JSON,
    MULTIPART,
    STRING,
    XML,
    ApiVersion,
    Part,
    Target,
    array,
    bodies,
    query,
    record,
    ref,
)

SECURITY: Mapping[str, Part] = {
    "api_user": {"type": "apiKey", "in": "query", "name": "api_user"},
    "api_key": {"type": "apiKey", "in": "query", "name": "api_key"},
    "sendgrid_basic": {
        "type": "http",
        "scheme": "basic",
        "description": "Counts where neither api_user nor api_key is given.",
    },
}
CALLERS: list[Part] = [{"api_user": [], "api_key": []}, {"sendgrid_basic": []}]

#: What a call of the dispatcher says besides the parameters of bounces.get.
CUSTOMER: Mapping[str, Part] = {
    "task": {"enum": ["get", "delete"], "description": "Delete needs an email."},
    "user": {
        "type": "string",
        "description": "The customer's user name.",
        "examples": ["customer@example.com"],
    },
}
NAMED: Mapping[str, Part] = {"method": {"enum": sorted(reseller.METHODS)}, **CUSTOMER}

TASKS = {"get": params.GET, "delete": params.DELETE, "count": params.COUNT}


def _needed(properties: Mapping[str, Part]) -> Part:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [*properties],
    }


SCHEMAS: Mapping[str, Any] = {
    "GetParameters": params.GET,
    "DeleteParameters": params.DELETE,
    "CountParameters": params.COUNT,
    "Customer": {"allOf": [ref("GetParameters"), _needed(CUSTOMER)]},
    "Named": {"allOf": [ref("GetParameters"), _needed(NAMED)]},
    "Bounce": record(
        {"status": STRING, "reason": STRING, "email": STRING},
        created={
            "type": "string",
            "pattern": r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$",
            "description": "With date=1, in the account's time zone.",
        },
    ),
    "Count": record(
        {
            "count": {
                "type": ["string", "integer"],
                "pattern": r"^\d+$",
                "description": "A string; an integer in the profile recorded.",
            }
        }
    ),
    "Deletion": record({"message": {"enum": ["success", "Email does not exist"]}}),
    "ErrorList": record(
        {"message": {"const": "error"}, "errors": array(STRING, minItems=1)}
    ),
    "ErrorText": record({"error": STRING}),
    "ErrorCode": record(
        {
            "error": record(
                {
                    "code": {"type": ["integer", "string"]},
                    "message": {"type": ["string", "null"]},
                }
            )
        }
    ),
}

DIRECT_ERROR: Part = {"oneOf": [ref("ErrorList"), ref("ErrorText")]}


def _markup(document: Document) -> str:
    """Return an example of XML."""
    return b"".join(serializers.XML.pieces(document)).decode()


LIST = _markup(
    BounceListing(
        iter([[("rawest@gmail.co", "4.0.0", "Connection timed out", 0, 0)]]), None
    )
)

#: What a task answers: its JSON, and an example of its XML.
DOCUMENTS: Mapping[str, tuple[Part, str]] = {
    "get": (array(ref("Bounce")), LIST),
    "delete": (ref("Deletion"), _markup(Message("success"))),
    "count": (ref("Count"), _markup(Count(4))),
}

#: What the dispatcher answers under 200.
ANSWERS = [
    *(schema for schema, _ in (DOCUMENTS["get"], DOCUMENTS["delete"])),
    ref("ErrorCode"),
    ref("ErrorList"),
]

#: What the direct calls refuse, by status.
REFUSED = {
    400: "A parameter does not parse; the request is not UTF-8, cut off or malformed.",
    403: "api_user and api_key are no account's.",
    413: f"The body has more than {params.MAX_BODY} bytes.",
    415: "The body is no form.",
    503: "The database does not answer.",
}

#: What the dispatcher does not answer under 200.
DISPATCH_REFUSED = {status: REFUSED[status] for status in (413, 503)}


def _written(suffix: str, schema: Part, example: str) -> Part:
    """Return the bodies of an answer whose JSON has *schema*; *example* is its XML."""
    if suffix == "json":
        return bodies({JSON: schema})
    text = {"type": "string", "contentMediaType": XML}
    return {XML: {"schema": text, "example": example}}


def _labelled(suffix: str, schema: Part, example: str) -> Part:
    """Return the bodies of an answer of the direct calls: JSON has two labels there."""
    text = {"type": "string", "contentMediaType": JSON, "contentSchema": schema}
    also = bodies({HTML: text}) if suffix == "json" else {}
    return {**_written(suffix, schema, example), **also}


def _asked(method: str, parameters: list[Any], body: str) -> Part:
    """Return where the parameters are: they may be in the query of a POST, too."""
    if method == "GET":
        return {"parameters": parameters}
    return {"requestBody": {"content": bodies({FORM: ref(body), MULTIPART: ref(body)})}}


def direct(target: Target) -> Part:
    """Describe a direct call."""
    task, suffix = target.choices["task"], target.choices["suffix"]
    parameters = [{"in": "query", "schema": TASKS[task]}]
    content = _labelled(suffix, *DOCUMENTS[task])
    return {
        "summary": (operations.OPERATIONS[task].__doc__ or "").partition("\n")[0],
        "security": CALLERS,
        **_asked(target.method, parameters, f"{task.title()}Parameters"),
        "responses": {
            "200": {"description": "What was asked for.", "content": content},
            **{str(status): f"direct_{status}_{suffix}" for status in REFUSED},
        },
    }


def dispatched(target: Target) -> Part:
    """Describe a call of the dispatcher, or of an alias that implies its method."""
    suffix = target.choices["suffix"]
    is_named = target.view.endswith(reseller.manage.__name__)
    named = NAMED if is_named else CUSTOMER
    parameters = [
        *query(named, tuple(named)),
        {"in": "query", "schema": params.GET},
    ]
    content = _written(suffix, {"oneOf": ANSWERS}, LIST)
    return {
        "security": CALLERS,
        **_asked(target.method, parameters, "Named" if is_named else "Customer"),
        "responses": {
            "200": {
                "description": "What the task answers, or an error.",
                "content": content,
            },
            **{
                str(status): f"reseller_{status}_{suffix}"
                for status in DISPATCH_REFUSED
            },
        },
    }


def _responses(
    name: str,
    refused: Mapping[int, str],
    schema: Part,
    write: Callable[..., Part],
    render: Callable[[int], Document],
) -> dict[str, Part]:
    """Return what is refused, by status and suffix.

    :param write: makes the bodies, of which *word* has an example.
    """
    return {
        f"{name}_{status}_{suffix}": {
            "description": about,
            "content": write(suffix, schema, _markup(render(status))),
        }
        for status, about in refused.items()
        for suffix in RESELLER_PROFILE.serializers
    }


API_VERSION = ApiVersion(
    about=(
        "SendGrid",
        (
            "Parameters and credentials come in the query string, in a form body, or "
            "both. JSON is labelled text/html in the profile recorded."
        ),
    ),
    security=SECURITY,
    schemas=SCHEMAS,
    parameters={},
    responses={
        **_responses(
            "direct",
            REFUSED,
            DIRECT_ERROR,
            _labelled,
            lambda status: ErrorList(
                (web.find_by_status(calls.ERRORS_BY_STATUS, status),)
            ),
        ),
        **_responses(
            "reseller",
            DISPATCH_REFUSED,
            ref("ErrorCode"),
            _written,
            lambda status: web.find_by_status(reseller.ERRORS_BY_STATUS, status),
        ),
    },
    views={
        "sendgrid_direct.bounces": direct,
        "sendgrid_reseller.manage": dispatched,
        "sendgrid_reseller.customer_bounces": dispatched,
    },
)
