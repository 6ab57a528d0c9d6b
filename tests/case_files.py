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


#: The title and provenance of a case, and the texts of its requests and responses.
CaseText = tuple[str, list[tuple[str, str]]]


def read_cases(path: Path) -> Iterator[Case]:
    """Yield the cases of a file."""
    headers, cases = split_cases(path.read_bytes().decode())  # no newline translation
    defaults = headers_of(headers)
    for head, exchanges in cases:
        title, provenance = head.split("\n")
        yield Case(
            title,
            provenance,
            [
                (request_of(request, defaults), message(response))
                for request, response in exchanges
            ],
        )


def split_cases(content: str) -> tuple[str, list[CaseText]]:
    """Split the content of a file into its headers and its cases."""
    headers, *texts = content.split("### ")
    cases = []
    for text in texts:
        head, *parts = text.removesuffix("\n\n").split("\n>>> ")
        exchanges = [part.split("\n<<< ") for part in parts]
        cases.append((head, [(request, response) for request, response in exchanges]))
    return headers, cases


def join_cases(headers: str, cases: list[CaseText]) -> str:
    """Return the content of a file: the inverse of `split_cases`."""
    texts = [
        "\n>>> ".join([head, *("\n<<< ".join(exchange) for exchange in exchanges)])
        for head, exchanges in cases
    ]
    return headers + "".join(f"### {text}\n\n" for text in texts)


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


def message(text: str) -> Message:
    """Parse a request or a response."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    return Message(first, headers_of("\n".join(lines)), body.encode())


def request_of(text: str, defaults: dict[str, str]) -> Message:
    """Parse a request; an empty header removes that of the file."""
    request = message(text)
    headers = {**defaults, **request.headers}
    request.headers = {
        name: value for name, value in headers.items() if value or name not in defaults
    }
    return request


def headers_of(text: str) -> dict[str, str]:
    """Parse the headers of a file or a message."""
    headers = dict(line.split(":", 1) for line in text.splitlines() if line)
    return {name: value.strip() for name, value in headers.items()}
