"""YAML and JSON files, read without tags, duplicate keys or guesses about types."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.schemas.base import as_mapping, duplicate_key

#: Most bytes of a file.
MAX_FILE = 128 * 1024 * 1024

#: Most values, and characters of them, in a document with aliases: a few lines can
#: stand for billions.
MAX_ALIASED, MAX_ALIASED_TEXT = 100_000, 8 * 1024 * 1024

#: Most levels of brackets. PyYAML looks back at every open bracket for each token.
MAX_DEPTH = 20

_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "null")}

#: The name of a handle, an anchor or an alias in PyYAML's messages.
_NAME = re.compile("(handle|anchor|alias) '.*?'")


class _Loader(yaml.SafeLoader):
    """YAML in which every scalar is text, except integers and null.

    ``status: 5.10``, ``created: 2011-09-16 22:02:19`` and ``api_key: 0123`` keep their
    spelling.
    """

    has_alias = False

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        if self.flow_level == MAX_DEPTH:
            raise RecursionError
        super().fetch_flow_collection_start(token)

    def construct_document(self, node: yaml.Node) -> Any:
        self.has_alias = _check_nodes(node)
        return super().construct_document(node)


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"(~|null|)\Z"), ["~", "n", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"(0|[1-9][0-9]{0,17})\Z"), list("0123456789")
)


def read_text(path: str, *, is_repeated: bool = False) -> str:
    """Return the text of the file *path*, without a byte-order mark.

    :param is_repeated: whether the file is read again later, which a pipe cannot be.
    :raises ParametersError: if the file cannot be read, is too large or not UTF-8.
    """
    try:
        file_path = Path(path)
        if is_repeated and file_path.exists() and not file_path.is_file():
            rule = "must be a regular file, since it is read again"
            raise ParametersError([("", rule)])
        with file_path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise ParametersError([("", f"larger than {MAX_FILE // 2**20} MiB")])
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ParametersError([("", error.strerror or str(error))]) from None
    except ValueError:  # also a path with a NUL character
        raise ParametersError([("", "not UTF-8 text")]) from None


def parse(text: str) -> Any:
    """Return the data of *text*, YAML or JSON.

    :raises ParametersError: if *text* is neither; the message has line and column.
    """
    try:
        return json.loads(text, object_pairs_hook=as_mapping)
    except RecursionError:  # YAML may have fewer levels
        raise ParametersError([("", "nested too deeply")]) from None
    except ValueError:  # then the YAML parser reports the error
        pass
    try:
        return _parse_yaml(text)
    except (yaml.YAMLError, ValueError, LookupError, OverflowError) as error:
        raise ParametersError([("", f"not YAML or JSON: {_message(error)}")]) from None
    except RecursionError:
        raise ParametersError([("", "nested too deeply")]) from None


def _parse_yaml(text: str) -> Any:
    loader = _Loader(text)
    document = loader.get_single_data()
    if loader.has_alias:
        _check_aliases(document)
    return document


def _check_aliases(document: Any) -> None:
    """Check that a document with aliases is not too large.

    :raises ParametersError: if it is.
    """
    for weigh, most, nouns in (
        (lambda _: 1, MAX_ALIASED, "values"),
        (lambda value: len(str(value)), MAX_ALIASED_TEXT, "characters"),
    ):
        if _weight(document, weigh, most, {}) > most:
            message = f"aliases expand to more than {most} {nouns}"
            raise ParametersError([("", message)])


def _check_nodes(root: yaml.Node) -> bool:
    """Reject tags and duplicate keys; return whether there are aliases.

    :raises ConstructorError: at the first invalid node.
    """
    has_alias = False
    seen: set[int] = set()
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            has_alias = True
            continue
        seen.add(id(node))
        if node.tag not in _TAGS:
            raise _invalid("tags are not supported", node)
        children: list[yaml.Node] = (
            node.value if isinstance(node, yaml.SequenceNode) else []
        )
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        raise _invalid(duplicate_key(key.value), key)
                    keys.add(key.value)
                children += [key, value]
        nodes += reversed(children)
    return has_alias


def _invalid(message: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, message, node.start_mark)


def _message(error: Exception) -> str:
    """Return the problem and its position, without the text there: it may be a key."""
    match error:
        case yaml.MarkedYAMLError(problem_mark=yaml.Mark() as mark):
            text = ", ".join(filter(None, (error.context, error.problem)))
            message = _NAME.sub(r"\1", text)
            return f"{message} (line {mark.line + 1}, column {mark.column + 1})"
        case yaml.reader.ReaderError():
            return str(error.reason)
    return "a value does not match its tag"


def _weight(
    value: Any, weigh: Callable[[Any], int], most: int, known: dict[int, int]
) -> int:
    """Return the weight of *value*, with that of each repetition.

    :param weigh: returns the weight of a value that is no collection.
    :param most: the weight of a collection that contains itself.
    :param known: the weights of collections so far, by identity.
    """
    if not isinstance(value, dict | list):
        return weigh(value)
    if id(value) not in known:
        known[id(value)] = most
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_weight(part, weigh, most, known) for part in parts)
    return known[id(value)]
