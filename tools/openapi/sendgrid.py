"""The section of SendGrid v2: the direct calls and the reseller dispatcher."""

from collections.abc import Callable, Mapping
from typing import Any

from sendgrid_bounces.dialects.sendgrid import direct as direct_calls
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
    Part,
    Section,
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
        "description": "Used if neither api_user nor api_key is given.",
    },
}
CALLERS: list[Part] = [{"api_user": [], "api_key": []}, {"sendgrid_basic": []}]

#: Parameters of the dispatcher besides those of bounces.get.
CUSTOMER: Mapping[str, Part] = {
    "task": {"enum": ["get", "delete"], "description": "delete requires email."},
    "user": {
        "type": "string",
        "description": "The user name of the customer.",
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
            "description": "With date=1, in the time zone of the account.",
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
    """Return *document* in XML."""
    return b"".join(serializers.XML.pieces(document)).decode()


LIST = _markup(
    BounceListing(
        iter([[("rawest@gmail.co", "4.0.0", "Connection timed out", 0, 0)]]), None
    )
)

#: The response of each task: the schema of its JSON, and an example of its XML.
DOCUMENTS: Mapping[str, tuple[Part, str]] = {
    "get": (array(ref("Bounce")), LIST),
    "delete": (ref("Deletion"), _markup(Message("success"))),
    "count": (ref("Count"), _markup(Count(4))),
}

#: The JSON schemas of the responses with status 200 from the dispatcher.
RESPONSES = [
    *(schema for schema, _ in (DOCUMENTS["get"], DOCUMENTS["delete"])),
    ref("ErrorCode"),
    ref("ErrorList"),
]

#: The errors of the direct calls.
ERRORS = {
    400: "Invalid parameter, or malformed or incomplete request.",
    403: "Wrong api_user or api_key.",
    413: f"The body exceeds {params.MAX_BODY} bytes.",
    415: "The body is not a form.",
    429: "Too many wrong API keys.",
    503: "The database does not answer.",
}

#: The errors of the dispatcher that do not have status 200.
DISPATCHER_ERRORS = {status: ERRORS[status] for status in (413, 429, 503)}


def _dispatcher_bodies(suffix: str, schema: Part, example: str) -> Part:
    """Return the body of a response: the *schema* of JSON or an XML *example*."""
    if suffix == "json":
        return bodies({JSON: schema})
    text = {"type": "string", "contentMediaType": XML}
    return {XML: {"schema": text, "example": example}}


def _direct_bodies(suffix: str, schema: Part, example: str) -> Part:
    """Return the bodies of a direct response, whose JSON can be labelled text/html."""
    text = {"type": "string", "contentMediaType": JSON, "contentSchema": schema}
    labelled = bodies({HTML: text}) if suffix == "json" else {}
    return {**_dispatcher_bodies(suffix, schema, example), **labelled}


def _input(method: str, parameters: list[Any], body: str) -> Part:
    """Return the query parameters of GET, or the request body of POST."""
    if method == "GET":
        return {"parameters": parameters}
    return {"requestBody": {"content": bodies({FORM: ref(body), MULTIPART: ref(body)})}}


def direct(target: Target) -> Part:
    """Describe a direct call."""
    task, suffix = target.choices["task"], target.choices["suffix"]
    parameters = [{"in": "query", "schema": TASKS[task]}]
    content = _direct_bodies(suffix, *DOCUMENTS[task])
    return {
        "summary": (operations.OPERATIONS[task].__doc__ or "").partition("\n")[0],
        "security": CALLERS,
        **_input(target.method, parameters, f"{task.title()}Parameters"),
        "responses": {
            "200": {"description": "Success.", "content": content},
            **{str(status): f"direct_{status}_{suffix}" for status in ERRORS},
        },
    }


def dispatched(target: Target) -> Part:
    """Describe a dispatcher call, by parameter or by path."""
    suffix = target.choices["suffix"]
    is_named = target.view.endswith(reseller.manage.__name__)
    named = NAMED if is_named else CUSTOMER
    parameters = [
        *query(named, tuple(named)),
        {"in": "query", "schema": params.GET},
    ]
    content = _dispatcher_bodies(suffix, {"oneOf": RESPONSES}, LIST)
    return {
        "security": CALLERS,
        **_input(target.method, parameters, "Named" if is_named else "Customer"),
        "responses": {
            "200": {
                "description": "Success or an error.",
                "content": content,
            },
            **{
                str(status): f"reseller_{status}_{suffix}"
                for status in DISPATCHER_ERRORS
            },
        },
    }


def _responses(
    name: str,
    errors: Mapping[int, str],
    schema: Part,
    bodies_of: Callable[..., Part],
    render: Callable[[int], Document],
) -> dict[str, Part]:
    """Return the error responses by name, which has status and suffix.

    :param errors: the descriptions, by status.
    :param bodies_of: returns the bodies, with the error of *render* as the example.
    """
    return {
        f"{name}_{status}_{suffix}": {
            "description": description,
            "content": bodies_of(suffix, schema, _markup(render(status))),
        }
        for status, description in errors.items()
        for suffix in RESELLER_PROFILE.serializers
    }


SECTION = Section(
    tag=(
        "SendGrid",
        (
            "Parameters and credentials are in the query string, a form body, or both. "
            "In the profile recorded, JSON is labelled text/html."
        ),
    ),
    security=SECURITY,
    schemas=SCHEMAS,
    parameters={},
    responses={
        **_responses(
            "direct",
            ERRORS,
            DIRECT_ERROR,
            _direct_bodies,
            lambda status: ErrorList(
                (web.find_by_status(direct_calls.ERRORS_BY_STATUS, status),)
            ),
        ),
        **_responses(
            "reseller",
            DISPATCHER_ERRORS,
            ref("ErrorCode"),
            _dispatcher_bodies,
            lambda status: web.find_by_status(reseller.ERRORS_BY_STATUS, status),
        ),
    },
    views={
        "sendgrid_direct.bounces": direct,
        "sendgrid_reseller.manage": dispatched,
        "sendgrid_reseller.customer_bounces": dispatched,
    },
)
