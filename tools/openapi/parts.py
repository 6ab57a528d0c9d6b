"""Building blocks of OpenAPI documents."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

#: An object of OpenAPI or JSON Schema.
Part = dict[str, Any]

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
JSON, NDJSON, CSV, TSV, HTML, XML, TEXT, YAML = (
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "text/tab-separated-values",
    "text/html",
    "text/xml",
    "text/plain",
    "application/yaml",
)

STRING: Part = {"type": "string"}
INTEGER: Part = {"type": "integer"}
BOOLEAN: Part = {"type": "boolean"}
NUMBER: Part = {"type": "integer", "minimum": 0}
INSTANT: Part = {"type": "string", "format": "date-time"}


@dataclass(frozen=True, slots=True)
class Target:
    """A method of a path.

    :param view: the Flask endpoint.
    :param path: the path in OpenAPI's form.
    :param choices: the value of each ``<any(...):name>`` in the rule, by name.
    """

    view: str
    method: str
    path: str
    choices: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Section:
    """A group of routes with the same tag, and the components that they refer to.

    :param tag: the name and the description of the tag.
    :param schemas: JSON schemas or marshmallow schemas, by name.
    :param views: functions that describe an operation, by Flask endpoint.
    """

    tag: tuple[str, str]
    security: Mapping[str, Part]
    schemas: Mapping[str, Any]
    parameters: Mapping[str, Part]
    responses: Mapping[str, Part]
    views: Mapping[str, Callable[[Target], Part]]


def ref(name: str) -> Part:
    """Return a reference to the schema *name*."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(required: Mapping[str, Part], **optional: Part) -> Part:
    """Return the schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": [*required],
        "additionalProperties": False,
    }


def array(items: Part, **keywords: Any) -> Part:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **keywords}


def response(description: str, schemas: Mapping[str, Part]) -> Part:
    """Return a response.

    :param schemas: the schemas of its bodies, by media type.
    """
    return {"description": description, "content": bodies(schemas)}


def bodies(schemas: Mapping[str, Part]) -> Part:
    """Return the content of a response or a request, given schemas by media type."""
    return {media: {"schema": schema} for media, schema in schemas.items()}


def query(properties: Mapping[str, Part], required: Collection[str] = ()) -> list[Part]:
    """Return query parameters, given their schemas by name."""
    parameters: list[Part] = []
    for name, schema in properties.items():
        parameter: Part = {"in": "query", "name": name, "schema": dict(schema)}
        if name in required:
            parameter["required"] = True
        if "description" in schema:
            parameter["description"] = parameter["schema"].pop("description")
        parameters.append(parameter)
    return parameters


def control_view(
    schema: Part,
    *more: int,
    path: tuple[str, ...] = (),
    parameters: Any = None,
    content: Mapping[str, Part] | None = None,
    status: int = 200,
) -> Callable[[Target], Part]:
    """Return a function that describes a view of the control endpoints.

    :param schema: the schema of the JSON response.
    :param more: error statuses that only some views have.
    :param path: the names of the path parameters.
    :param parameters: the marshmallow schema of the query.
    :param content: the schemas of the request body, by media type.
    """

    def describe(target: Target) -> Part:
        has_body = target.method != "GET"
        errors = {400, 401, 403, 429, 503, *more, *([413] if has_body else [])}
        part: Part = {
            "security": [{}, {"token": []}],
            "responses": {
                str(status): response("Success.", {JSON: schema}),
                **{str(code): f"control_{code}" for code in sorted(errors)},
            },
        }
        if path or parameters:
            query = [{"in": "query", "schema": parameters}] if parameters else []
            part["parameters"] = [*path, *query]
        if content:
            part["requestBody"] = {"required": True, "content": bodies(content)}
        return part

    return describe
