"""The OpenAPI document as a whole."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import product

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from marshmallow import Schema

from sendgrid_bounces import __version__
from sendgrid_bounces.app import DIALECTS, routed_app
from sendgrid_bounces.schemas import faults
from sendgrid_bounces.schemas.bounces import RECORD
from sendgrid_bounces.web.dialect import Dialect
from tools.openapi import (
    control,
    fields,
    mailgun,
    receiving,
    routes,
    sendgrid,
    sendgrid_v3,
)
from tools.openapi.parts import Part, Section, Target

DESCRIPTION = """\
An emulator of the bounce APIs of SendGrid (Web API v2 and v3) and Mailgun (v2 and
v3).

Other paths get 404, other methods 405, and a URL or header section that is too long 414
or 431, each in the vendor's format. While a fault rule triggers, every operation except
the emulator's own can have any status from 400 to 599, or no response at all."""

#: The end of the Flask endpoint of a view that only rejects requests.
CATCH_ALL = ".unknown"

#: A choice in a Flask rule, and any other path parameter.
_CHOICE = re.compile(r"<any\(([^)]*)\):(\w+)>")
_PARAMETER = re.compile(r"<(?:\w+:)?_?(\w+?)_?>")


def write(dialects: Sequence[Dialect] = DIALECTS) -> str:
    """Return the text of the document."""
    return json.dumps(build(dialects), indent=1) + "\n"


def build(dialects: Sequence[Dialect] = DIALECTS) -> Part:
    """Return the document about *dialects* and the control endpoints."""
    operations = {dialect.name: dialect.operations for dialect in dialects}
    app = routed_app(tuple(dialects), has_control=True)
    sections = [
        *_dialect_sections(app, dialects),
        receiving.SECTION,
        control.section(operations),
    ]
    plugin = MarshmallowPlugin()
    spec = APISpec(
        "SendGrid and Mailgun bounces",
        __version__,
        "3.1.0",
        [plugin],
        info={"description": DESCRIPTION},
        tags=[
            {"name": section.tag[0], "description": section.tag[1]}
            for section in sections
        ],
    )
    assert plugin.converter is not None  # noqa: S101 - APISpec() has set it
    fields.register(plugin.converter, operations)
    _add_components(spec, sections)
    for path, targets in sorted(_targets(app).items()):
        methods = {
            target.method.lower(): _operation(app, sections, target)
            for target in targets
        }
        spec.path(path, operations=methods)
    document: Part = spec.to_dict()
    _relate_fields(document["components"]["schemas"]["Rule"])
    return document


def _dialect_sections(app: Flask, dialects: Sequence[Dialect]) -> Iterator[Section]:
    """Yield the sections that have views in *app*, one for each undescribed dialect."""
    views = {*app.view_functions}
    for section in (sendgrid.SECTION, sendgrid_v3.SECTION, mailgun.SECTION):
        if section.views.keys() & views:
            yield section
            views -= section.views.keys()
    for dialect in dialects:
        prefix = f"{dialect.blueprint.name}."
        undescribed = {view for view in views if view.startswith(prefix)}
        undescribed = {view for view in undescribed if not view.endswith(CATCH_ALL)}
        if undescribed:
            yield routes.section(dialect.name, undescribed)


def _add_components(spec: APISpec, sections: Sequence[Section]) -> None:
    spec.components.schema("Record", schema=RECORD)
    for section in sections:
        for name, scheme in section.security.items():
            spec.components.security_scheme(name, scheme)
        for name, schema in section.schemas.items():
            if isinstance(schema, Schema):
                spec.components.schema(name, schema=schema)
            else:
                spec.components.schema(name, schema)
        for name, parameter in section.parameters.items():
            spec.components.parameter(name, "path", {"name": name, **parameter})
        for name, response in section.responses.items():
            spec.components.response(name, response)


def _targets(app: Flask) -> dict[str, list[Target]]:
    """Return the methods of *app* by path, in OpenAPI's form of paths."""
    found: dict[str, list[Target]] = {}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.endswith(CATCH_ALL):
            continue
        for path, choices in _paths(rule.rule):
            for method in sorted({*(rule.methods or ())} - {"HEAD", "OPTIONS"}):
                target = Target(rule.endpoint, method, path, choices)
                found.setdefault(path, []).append(target)
    return found


def _paths(rule: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the paths of a Flask rule, one for each combination of its choices."""
    texts = _CHOICE.split(rule)[::3]
    names = [name for _, name in _CHOICE.findall(rule)]
    options = [values.split(", ") for values, _ in _CHOICE.findall(rule)]
    for chosen in product(*options):
        path = "".join(
            text + value for text, value in zip(texts, (*chosen, ""), strict=True)
        )
        yield _PARAMETER.sub(r"{\1}", path), dict(zip(names, chosen, strict=True))


def _operation(app: Flask, sections: Sequence[Section], target: Target) -> Part:
    """Return the operation object of *target*."""
    section = next(found for found in sections if target.view in found.views)
    docstring = app.view_functions[target.view].__doc__ or ""
    words = re.findall(r"[a-z0-9]+", target.path)
    return {
        "operationId": "_".join([target.method.lower(), *words]),
        "summary": docstring.partition("\n")[0],
        "tags": [section.tag[0]],
        **section.views[target.view](target),
    }


def _relate_fields(schema: Part) -> None:
    """Add the conditions between the fields of a fault rule to its *schema*."""
    schema["anyOf"] = [{"required": [effect]} for effect in faults.EFFECTS]
    schema["dependentRequired"] = {
        name: [other] for name, other in faults.REQUIRED.items()
    }
