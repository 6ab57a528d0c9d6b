"""Reads the cases: see cases/README.rst."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PROVENANCES = ("documented", "recorded", "client", "inferred")


@dataclass
class Message:
    """A request (*first*: method and target) or an answer (*first*: status)."""

    first: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Case:
    """A conversation, and how we know that it went so."""

    title: str
    provenance: str
    exchanges: list[tuple[Message, Message]]


def read_cases(path: Path) -> Iterator[Case]:
    """Yield the cases of a file."""
    content = path.read_bytes().decode()  # line ends as they are
    for text in content.split("### ")[1:]:
        head, *parts = text.removesuffix("\n\n").split("\n>>> ")
        title, provenance = head.split("\n")
        exchanges = []
        for part in parts:
            request, answer = part.split("\n<<< ")
            exchanges.append((_message(request), _message(answer)))
        yield Case(title, provenance, exchanges)


def _message(text: str) -> Message:
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    headers = dict(line.split(":", 1) for line in lines)
    return Message(
        first, {name: value.strip() for name, value in headers.items()}, body.encode()
    )
