"""Routes, and the converter of addresses in paths."""

from typing import Any

from werkzeug.routing import BaseConverter, Rule


class AddressConverter(BaseConverter):
    """An e-mail address in a path, which may contain slashes."""

    regex = ".+"
    part_isolating = False


class Route(Rule):
    """A route that compiles its URL builder on the first use.

    Werkzeug compiles two builders of each route when an application starts, which takes
    longer than the rest of the routing, and only the dashboard builds URLs.
    """

    def _compile_builder(self, *args: Any, **kwargs: Any) -> Any:
        compile_builder, compiled = super()._compile_builder, None

        def build(rule: Rule, /, **values: Any) -> Any:
            nonlocal compiled
            compiled = compiled or compile_builder(*args, **kwargs)
            return compiled(rule, **values)

        return build
