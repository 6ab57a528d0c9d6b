"""Pieces of OpenAPI that all faces are described with."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

#: Objects of OpenAPI and JSON schema, as they are written in JSON.
Part = dict[str, Any]

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
JSON, HTML, XML, TEXT, YAML = (
    "application/json",
    "text/html",
    "text/xml",
    "text/plain",
    "application/yaml",
)

STRING: Part = {"type": "string"}
INTEGER: Part = {"type": "integer"}
BOOLEAN: Part = {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Target:
    """An operation that is to be described.

    :param view: the endpoint of its view, as Flask names it.
    :param choices: what the path has chosen of the rule's ``any(...)``, by name.
    """

    view: str
    method: str
    choices: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """Some routes, and what their descriptions refer to by name.

    :param about: what they are, by the name of their tag.
    :param security: how their callers prove who they are.
    :param schemas: JSON schemas, or marshmallow's.
    :param views: what describes an operation, by the endpoint of its view.
    """

    about: tuple[str, str]
    security: Mapping[str, Part]
    schemas: Mapping[str, Any]
    parameters: Mapping[str, Part]
    responses: Mapping[str, Part]
    views: Mapping[str, Callable[[Target], Part]]


def ref(name: str) -> Part:
    """Return a reference to the schema *name*."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(required: Mapping[str, Part], **optional: Part) -> Part:
    """Return the schema of an object that has these properties and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": [*required],
        "additionalProperties": False,
    }


def array(items: Part, **rules: Any) -> Part:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **rules}


def answer(about: str, content: Mapping[str, Part]) -> Part:
    """Return a response, given the schemas of its bodies by media type."""
    return {"description": about, "content": bodies(content)}


def bodies(content: Mapping[str, Part]) -> Part:
    """Return the content of a response or a request."""
    return {media: {"schema": schema} for media, schema in content.items()}


def query(properties: Mapping[str, Part], required: Collection[str] = ()) -> list[Part]:
    """Return parameters of the query string."""
    parameters: list[Part] = []
    for name, schema in properties.items():
        parameter: Part = {"in": "query", "name": name, "schema": dict(schema)}
        if name in required:
            parameter["required"] = True
        if "description" in schema:
            parameter["description"] = parameter["schema"].pop("description")
        parameters.append(parameter)
    return parameters
