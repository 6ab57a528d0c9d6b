"""YAML and JSON as people write them: what is text stays text, and nothing is lost."""

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.redaction import is_printable_name

_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "null")}


class _Loader(yaml.SafeLoader):
    """YAML without tags, in which only plain whole numbers and null are more than text.

    So ``status: 5.10``, ``created: 2011-09-16 22:02:19`` and ``api_key: 0123`` mean
    what is written there. A key that stands twice in a mapping is a fault.
    """

    has_alias = False

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.has_alias |= self.check_event(yaml.AliasEvent)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - its signature
        if node.tag not in _TAGS:
            raise yaml.constructor.ConstructorError(
                None, None, "a tag like this has no meaning here", node.start_mark
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
                    None, None, f"{_shown(key.value)} stands here twice", key.start_mark
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


#: How many values a document may have that has aliases: a few lines could say billions.
MAX_VALUES = 100_000

#: Where PyYAML says what somebody has called something.
_NAMED = re.compile("(handle|anchor|alias) '.*?'")


def _shown(name: str) -> str:
    return repr(name) if is_printable_name(name) else "a name"


def read_text(path: str) -> str:
    """Return the text of the file *path*, without a byte-order mark.

    :raises ParametersError: if it cannot be read, or is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ParametersError([("", error.strerror or str(error))]) from None
    except ValueError:  # NUL in the path is one, too
        raise ParametersError([("", "not UTF-8 text")]) from None


def as_mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the mapping of an object in JSON.

    :raises ParametersError: if a name stands there twice.
    """
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParametersError([("", f"{_shown(twice)} stands twice in a mapping")])
    return mapping


def parse(text: str) -> Any:
    """Return what *text* says in YAML or JSON.

    :raises ParametersError: if it is neither; a fault is named by its line.
    """
    try:
        return json.loads(text, object_pairs_hook=as_mapping)
    except (ValueError, RecursionError):  # YAML then, which names the place of a fault
        pass
    try:
        return _parse_yaml(text)
    except (yaml.YAMLError, ValueError, LookupError) as error:
        raise ParametersError([("", f"not YAML or JSON: {_words(error)}")]) from None
    except RecursionError:
        raise ParametersError([("", "is nested too deeply")]) from None


def _parse_yaml(text: str) -> Any:
    loader = _Loader(text)
    document = loader.get_single_data()
    if loader.has_alias and _size(document, {}) > MAX_VALUES:
        rule = f"has over {MAX_VALUES} values, with what its aliases repeat"
        raise ParametersError([("", rule)])
    return document


def _words(error: Exception) -> str:
    """Say what is wrong, and where, but not what stands there: it may be a key."""
    match error:
        case yaml.MarkedYAMLError(problem_mark=yaml.Mark() as mark):
            said = ", ".join(filter(None, (error.context, error.problem)))
            words = _NAMED.sub(r"\1", said)
            return f"{words} (line {mark.line + 1}, column {mark.column + 1})"
        case yaml.reader.ReaderError():
            return str(error.reason)
    return "a value is not what its tag says"


def _size(value: Any, known: dict[int, int]) -> int:
    """Return how many values *value* has, counting what is repeated each time.

    :param known: the sizes of what was counted, by identity.
    """
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = MAX_VALUES  # for what holds itself
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(value)]
