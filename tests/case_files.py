"""Cases: the parser of .http files, and their replay. See cases/README.rst."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

PROVENANCES = ("documented", "recorded", "client", "inferred")


@dataclass
class Message:
    """A request (*first*: method and target) or a response (*first*: status)."""

    first: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Case:
    """Exchanges on one server.

    :param provenance: how the expectation is known, and its source.
    """

    title: str
    provenance: str
    exchanges: list[tuple[Message, Message]]


def read_cases(path: Path) -> Iterator[Case]:
    """Yield the cases of a file."""
    content = path.read_bytes().decode()  # without newline translation
    for text in content.split("### ")[1:]:
        head, *parts = text.removesuffix("\n\n").split("\n>>> ")
        title, provenance = head.split("\n")
        exchanges = []
        for part in parts:
            request, response = part.split("\n<<< ")
            exchanges.append((_message(request), _message(response)))
        yield Case(title, provenance, exchanges)


def replay(client: FlaskClient, case: Case) -> None:
    """Send the requests of *case* and compare the responses byte for byte."""
    assert case.exchanges
    for request, expected in case.exchanges:
        response = _send(client, request)

        assert (expected.first, expected.body.decode()) == (
            str(response.status_code),
            response.data.decode(),
        ), request.first
        for name, value in expected.headers.items():
            assert value == response.headers.get(name, ""), (request.first, name)
        if not request.first.startswith("HEAD ") and expected.first != "204":
            assert str(len(response.data)) == response.headers["Content-Length"]


def _send(client: FlaskClient, request: Message) -> TestResponse:
    method, target = request.first.split(" ", 1)
    headers = {"Content-Length": "0", **request.headers}
    if request.body:
        headers["Content-Length"] = str(len(request.body))
    return client.open(target, method=method, headers=headers, data=request.body)


def _message(text: str) -> Message:
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    headers = dict(line.split(":", 1) for line in lines)
    return Message(
        first, {name: value.strip() for name, value in headers.items()}, body.encode()
    )
