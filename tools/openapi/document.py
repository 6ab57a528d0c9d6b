"""The document as a whole."""

import json
import re
from collections.abc import Iterator
from itertools import product

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from marshmallow import Schema

from sendgrid_bounces import __version__
from sendgrid_bounces.app import routed_app
from sendgrid_bounces.schemas import faults
from sendgrid_bounces.schemas.bounces import RECORD
from tools.openapi import control, fields, mailgun, sendgrid
from tools.openapi.parts import ApiVersion, Part, Target

API_VERSIONS: tuple[ApiVersion, ...] = (
    sendgrid.API_VERSION,
    mailgun.API_VERSION,
    control.API_VERSION,
)

ABOUT = """\
An emulator of the bounce APIs of SendGrid (Web API v2) and Mailgun (v2 and v3).

A path that is none of these is answered 404, another method 405, and a URL or a head
that is too long 414 or 431, each in its vendor's words. While a fault rule fires, any
operation but the emulator's own may answer any status of 400 to 599, or not at all."""

#: A choice in a rule of Flask's, and any other parameter of the path.
_CHOICE = re.compile(r"<any\(([^)]*)\):(\w+)>")
_PARAMETER = re.compile(r"<(?:\w+:)?_?(\w+?)_?>")


def write() -> str:
    """Return the document as it lies in the package."""
    return json.dumps(build(), indent=1) + "\n"


def build() -> Part:
    """Return the document."""
    plugin = MarshmallowPlugin()
    spec = APISpec(
        "SendGrid and Mailgun bounces",
        __version__,
        "3.1.0",
        [plugin],
        info={"description": ABOUT},
        tags=[
            dict(zip(("name", "description"), api_version.about, strict=True))
            for api_version in API_VERSIONS
        ],
    )
    assert plugin.converter is not None  # noqa: S101 - it has a document now
    plugin.converter.add_attribute_function(fields.described)  # type: ignore[no-untyped-call]
    _add_components(spec)
    app = routed_app(has_control=True)
    for path, targets in sorted(_targets(app).items()):
        operations = {
            target.method.lower(): _described(app, path, target) for target in targets
        }
        spec.path(path, operations=operations)
    document: Part = spec.to_dict()
    _bind_rule(document["components"]["schemas"]["Rule"])
    return document


def _add_components(spec: APISpec) -> None:
    spec.components.schema("Record", schema=RECORD)
    for api_version in API_VERSIONS:
        for name, scheme in api_version.security.items():
            spec.components.security_scheme(name, scheme)
        for name, schema in api_version.schemas.items():
            if isinstance(schema, Schema):
                spec.components.schema(name, schema=schema)
            else:
                spec.components.schema(name, schema)
        for name, parameter in api_version.parameters.items():
            spec.components.parameter(name, "path", {"name": name, **parameter})
        for name, response in api_version.responses.items():
            spec.components.response(name, response)


def _targets(app: Flask) -> dict[str, list[Target]]:
    """Return the operations of *app*, by the path that OpenAPI has."""
    found: dict[str, list[Target]] = {}
    for rule in app.url_map.iter_rules():
        for path, choices in _paths(rule.rule):
            for method in sorted({*(rule.methods or ())} - {"HEAD", "OPTIONS"}):
                target = Target(rule.endpoint, method, choices)
                found.setdefault(path, []).append(target)
    return found


def _paths(rule: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the paths of a rule of Flask's, each with what it has chosen."""
    texts = _CHOICE.split(rule)[::3]
    names = [name for _, name in _CHOICE.findall(rule)]
    options = [words.split(", ") for words, _ in _CHOICE.findall(rule)]
    for chosen in product(*options):
        path = "".join(
            text + render for text, render in zip(texts, (*chosen, ""), strict=True)
        )
        yield _PARAMETER.sub(r"{\1}", path), dict(zip(names, chosen, strict=True))


def _described(app: Flask, path: str, target: Target) -> Part:
    """Return the operation *target*; its summary is what its view says of itself."""
    api_version = next(
        api_version for api_version in API_VERSIONS if target.view in api_version.views
    )
    summary = (app.view_functions[target.view].__doc__ or "").partition("\n")[0]
    words = re.findall(r"[a-z0-9]+", path)
    return {
        "operationId": "_".join([target.method.lower(), *words]),
        "summary": summary,
        "tags": [api_version.about[0]],
        **api_version.views[target.view](target),
    }


def _bind_rule(schema: Part) -> None:
    """Say of a rule's schema what it checks between its fields."""
    schema["anyOf"] = [{"required": [effect]} for effect in faults.EFFECTS]
    schema["dependentRequired"] = {
        name: [needed] for name, needed in faults.NEEDED.items()
    }
