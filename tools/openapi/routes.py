"""The section of a dialect of which only the routes are known."""

import re
from collections.abc import Iterable

from tools.openapi.parts import STRING, Part, Section, Target


def section(name: str, views: Iterable[str]) -> Section:
    """Return the section of the dialect *name*, given the endpoints of its views."""
    return Section(
        tag=(name, "Described by its routes only."),
        security={},
        schemas={},
        parameters={},
        responses={},
        views=dict.fromkeys(views, _describe),
    )


def _describe(target: Target) -> Part:
    return {
        "parameters": [
            {"in": "path", "name": name, "required": True, "schema": STRING}
            for name in re.findall(r"{(\w+)}", target.path)
        ],
        "responses": {"default": {"description": "A response of the vendor."}},
    }
