"""Directives that render the OpenAPI description that the package ships.

``openapi-operations`` renders the operations below a path; ``openapi-schemas`` renders
the documents that these operations take and return.
"""

import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from docutils import nodes
from rst import heading, list_table
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Json = Mapping[str, Any]

DESCRIPTION: Json = json.loads(
    (resources.files("sendgrid_bounces.control") / "openapi.json").read_text("utf-8")
)
METHODS = ("get", "post", "put", "patch", "delete")
_REFERENCE = "#/components/schemas/"


class Operations(SphinxDirective):
    """Render the operations below the path of the argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a section for each operation."""
        text = "".join(
            _operation(method, path, operation)
            for method, path, operation in _operations(self.arguments[0])
        )
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class Schemas(SphinxDirective):
    """Render the schemas that the operations below a path refer to."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a section for each schema, by name."""
        names: set[str] = set()
        for _method, _path, operation in _operations(self.arguments[0]):
            _collect(operation, names)
        text = "".join(_schema(name) for name in sorted(names))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def _operations(prefix: str) -> Iterator[tuple[str, str, Json]]:
    for path, methods in DESCRIPTION["paths"].items():
        if path.startswith(prefix):
            for method in METHODS:
                if method in methods:
                    yield method, path, methods[method]


def _operation(method: str, path: str, operation: Json) -> str:
    parts = [
        f".. _{operation['operationId']}:\n\n",
        heading(f"``{method.upper()} {path}``", "~"),
        f"{_escape(operation['summary'])}\n\n",
    ]
    if operation.get("description"):
        parts.append(f"{_escape(operation['description'])}\n\n")
    rows = [_parameter(_resolve(found)) for found in operation.get("parameters", ())]
    if rows:
        head = ("Parameter", "In", "Type", "Description")
        parts.append(list_table(head, rows, widths=(20, 10, 25, 45)))
    if "requestBody" in operation:
        parts.append(f"Request body: {_contents(operation['requestBody'])}.\n\n")
    statuses = {
        status: _resolve(response)
        for status, response in operation["responses"].items()
    }
    for status, response in statuses.items():
        if status.startswith("2"):
            parts.append(f"Response {status}: {_contents(response)}.\n\n")
    errors = ", ".join(f"``{s}``" for s in statuses if not s.startswith("2"))
    if errors:
        parts.append(f"Error statuses: {errors}.\n\n")
    return "".join(parts)


def _parameter(parameter: Json) -> tuple[str, ...]:
    schema = parameter["schema"]
    required = ", required" if parameter.get("required") else ""
    description = _escape(parameter.get("description", ""))
    return (
        f"``{parameter['name']}``",
        parameter["in"],
        f"{_type(schema)}{required}",
        " ".join(filter(None, (description, _bounds(schema)))),
    )


def _contents(body: Json) -> str:
    """Return the types of a body, grouped by media type."""
    types: dict[str, list[str]] = {}
    for media_type, content in body.get("content", {}).items():
        types.setdefault(_type(content["schema"]), []).append(f"``{media_type}``")
    described = (f"{name} ({' or '.join(media)})" for name, media in types.items())
    return "; ".join(described) or "empty"


def _schema(name: str) -> str:
    schema = DESCRIPTION["components"]["schemas"][name]
    required = schema.get("required", ())
    rows = [
        (
            f"``{field}``",
            _type(found) + (", required" if field in required else ""),
            " ".join(
                filter(None, (_escape(found.get("description", "")), _bounds(found)))
            ),
        )
        for field, found in schema.get("properties", {}).items()
    ]
    head = ("Field", "Type", "Description")
    table = list_table(head, rows, widths=(20, 30, 50))
    return f".. _schema-{name}:\n\n{heading(name, '~')}{table}"


def _type(schema: Json) -> str:
    """Return the type of a value, with links to the schemas it names."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        return f":ref:`{name} <schema-{name}>`"
    alternatives = schema.get("oneOf", schema.get("anyOf", ()))
    if alternatives and "type" not in schema:
        return " or ".join(map(_type, alternatives))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"``{json.dumps(value)}``" for value in values)
    return _plain_type(schema)


def _plain_type(schema: Json) -> str:
    names = schema.get("type", "any")
    if names == "array":
        return f"array of {_type(schema['items'])}"
    if names == "object" and "properties" in schema:
        fields = schema["properties"].items()
        return ", ".join(f"``{name}``: {_type(found)}" for name, found in fields)
    return " or ".join([names] if isinstance(names, str) else names)


def _bounds(schema: Json) -> str:
    """Return the default and the bounds of a value as sentences."""
    sentences = []
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None and most < 2**31:
        sentences.append(f"From {least:,} to {most:,}.")
    elif least:
        sentences.append(f"At least {least:,}.")
    if schema.get("default") is not None:
        sentences.append(f"Default: ``{json.dumps(schema['default'])}``.")
    return " ".join(sentences)


def _resolve(value: Json) -> Json:
    """Return *value*, or the component it refers to."""
    found = value
    if "$ref" in value:
        found = DESCRIPTION
        for key in value["$ref"].removeprefix("#/").split("/"):
            found = found[key]
    return found


def _collect(value: Any, names: set[str]) -> None:
    """Add the names of all schemas that *value* refers to."""
    if isinstance(value, Mapping):
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith(_REFERENCE):
            name = reference.removeprefix(_REFERENCE)
            if name not in names:
                names.add(name)
                _collect(DESCRIPTION["components"]["schemas"][name], names)
        elif isinstance(reference, str):
            _collect(_resolve(value), names)
        for inner in value.values():
            _collect(inner, names)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, names)


def _escape(text: str) -> str:
    """Return plain *text* in which reStructuredText sees no markup."""
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("openapi-operations", Operations)
    app.add_directive("openapi-schemas", Schemas)
    return {"parallel_read_safe": True}
