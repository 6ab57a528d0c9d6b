"""The views of a response body: raw, indented, and as hexadecimal bytes."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

#: Bytes in a line of a hexadecimal dump.
WIDTH = 16

INDENT = "  "

#: The tokens of JSON: strings, structure and other values. The last string of a body
#: that was cut has no end.
_JSON = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)

#: The tokens of XML: elements without child elements, tags, which may be cut, and text.
_XML = re.compile(r"<([\w:.-]+)(?=[\s>])[^<>]*>[^<]*</\1>|<[^>]*>?|[^<]+")

#: A tag that tags of a greater depth follow.
_OPENING = re.compile(r"<[^/?!<>][^<>]*(?<!/)>")


def show_raw(body: str) -> str:
    """Return the body as it is."""
    return body


def show_pretty(body: str) -> str:
    """Return JSON or XML with indentation, and any other body as it is.

    Only blanks between tokens change, so a body of which the log has the beginning, or
    a malformed one, is shown in full.
    """
    start = body.lstrip()[:1]
    if start == "<":
        return "\n".join(_indent_xml(body))
    return "".join(_indent_json(_JSON.findall(body))) if start in ("{", "[") else body


def show_hex(body: str) -> str:
    """Return the offset, the bytes and the ASCII characters of the body in UTF-8."""
    content = body.encode()
    lines = []
    for offset in range(0, len(content), WIDTH):
        part = content[offset : offset + WIDTH]
        characters = part.decode("ascii", errors="replace")
        shown = "".join(each if " " <= each <= "~" else "." for each in characters)
        lines.append(f"{offset:08x}  {part.hex(' '):<{3 * WIDTH - 1}}  {shown}")
    return "\n".join(lines)


#: The views by name.
VIEWS: Mapping[str, Callable[[str], str]] = {
    "raw": show_raw,
    "pretty": show_pretty,
    "hex": show_hex,
}
DEFAULT_VIEW = "raw"


def _indent_json(parts: Iterable[str]) -> Iterator[str]:
    depth, before = 0, ""
    for part in parts:
        is_end = part in ("}", "]")
        is_start_before = before in ("{", "[")
        depth = max(depth - is_end, 0)
        if is_start_before != is_end or before == ",":
            yield "\n" + INDENT * depth
        yield ": " if part == ":" else part
        depth += part in ("{", "[")
        before = part


def _indent_xml(body: str) -> Iterator[str]:
    depth = 0
    for match in _XML.finditer(body):
        token = match[0].strip()
        if token.startswith("</"):
            depth = max(depth - 1, 0)
        if token:
            yield INDENT * depth + token
        if _OPENING.fullmatch(token):
            depth += 1
