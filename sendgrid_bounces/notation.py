"""YAML and JSON as people write them: what is text stays text, and nothing is lost."""

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml

from sendgrid_bounces.core.errors import ParametersError

_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "null")}


class _Loader(yaml.SafeLoader):
    """YAML without tags, in which only plain whole numbers and null are more than text.

    So ``status: 5.10``, ``created: 2011-09-16 22:02:19`` and ``api_key: 0123`` mean
    what is written there. A key that stands twice in a mapping is a fault.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - its signature
        if node.tag not in _TAGS:
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.tag!r} has no meaning here", node.start_mark
            )
        return super().construct_object(node, deep)

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002 - its signature
    ) -> dict[Hashable, Any]:
        seen = set()
        for key, _value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands here twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"(~|null|)\Z"), ["~", "n", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"(0|[1-9][0-9]{0,17})\Z"), list("0123456789")
)


def parse(text: str) -> Any:
    """Return what *text* says in YAML or JSON.

    :raises ParametersError: if it is neither; a fault is named by its line.
    """
    try:
        return json.loads(text, object_pairs_hook=_mapping)
    except json.JSONDecodeError:  # YAML then, which names the place of a fault
        pass
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        words = " ".join(str(error).split())
        raise ParametersError([("", f"not YAML or JSON: {words}")]) from None


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParametersError([("", f"{twice!r} stands twice in a mapping")])
    return mapping
