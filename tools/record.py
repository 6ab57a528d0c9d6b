"""Record responses into case files: ``python -m tools.record --update FILE``.

The requests of each case are sent to an emulator that has the seeds of ``tests/cases``
and a clock frozen at the time of the cases. Without ``--update``, the differences
between the file and the responses are printed.
"""

import argparse
import difflib
import http.client
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit

from sendgrid_bounces.testing import EmulatorServer
from tests.case_files import (
    Message,
    headers_of,
    join_cases,
    message,
    request_of,
    split_cases,
)

CASES = Path(__file__).parent.parent / "tests" / "cases"
INSTANT = "2012-02-15T12:00:00Z"
SNAPSHOT = "cases"
TIMEOUT = 30


class Server:
    """An emulator, or a service that speaks the protocol of a vendor.

    :param token: the token of the control endpoints, if they need one.
    """

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._token = token

    def load_seeds(self) -> None:
        """Replace everything by the seeds, and keep that state as a snapshot."""
        self._control("POST", "reset?to=empty")
        order = {"action": "freeze", "instant": INSTANT}
        self._control("PUT", "clock", json.dumps(order))
        for seed in sorted(CASES.glob("*/seed.yaml")):
            self._control("POST", "seed", seed.read_text(encoding="utf-8"))
        self._control("PUT", f"snapshots/{SNAPSHOT}")

    def restore_seeds(self) -> None:
        """Return to the state before the first case."""
        self._control("POST", f"snapshots/{SNAPSHOT}/restore")

    def send(self, request: Message) -> Message:
        """Send the bytes of *request* and return the response."""
        headers = {"Host": "localhost", "Content-Length": "0", **request.headers}
        if request.body:
            headers["Content-Length"] = str(len(request.body))
        lines = [f"{request.first} HTTP/1.1", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        with socket.create_connection(self._address, TIMEOUT) as connection:
            connection.sendall(head + request.body)
            method = request.first.partition(" ")[0]
            with closing(http.client.HTTPResponse(connection, method=method)) as answer:
                answer.begin()
                body = answer.read()
                return Message(str(answer.status), dict(answer.getheaders()), body)

    def _control(self, method: str, target: str, body: str = "") -> None:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers["Content-Type"] = "application/json"
        target = f"{method} /_emulator/{target}"
        response = self.send(Message(target, headers, body.encode()))
        if response.first != "200":
            sys.exit(f"{target}: {response.first} {response.body.decode()}")


def record(content: str, server: Server, *, restores: bool = True) -> str:
    """Return the content of a case file with the responses of *server*."""
    headers, cases = split_cases(content)
    recorded = []
    for head, exchanges in cases:
        if restores:
            server.restore_seeds()
        recorded.append((head, [*_recorded(exchanges, headers_of(headers), server)]))
    return join_cases(headers, recorded)


def _recorded(
    exchanges: list[tuple[str, str]], defaults: dict[str, str], server: Server
) -> Iterator[tuple[str, str]]:
    for request, expected in exchanges:
        response = server.send(request_of(request, defaults))
        yield request, _render(response, message(expected))


def _render(response: Message, expected: Message) -> str:
    """Return the text of *response*, with the headers that *expected* names."""
    names = [*({"Content-Type": "", **expected.headers})]
    lines = [f"{name}: {response.headers.get(name, '')}".rstrip() for name in names]
    body = response.body.decode()
    return "\n".join([response.first, *lines, "", body])


@contextmanager
def _server(url: str, token: str) -> Iterator[Server]:
    """Yield the server at *url*, or an emulator in this process."""
    with EmulatorServer() if not url else nullcontext() as started:
        yield Server(started.url if started else url, token)


def main() -> None:
    """Compare or update case files."""
    parser = argparse.ArgumentParser(prog="python -m tools.record", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--update", action="store_true", help="write the files")
    parser.add_argument(
        "--server", default="", metavar="URL", help="an emulator; its data are erased"
    )
    parser.add_argument("--token", default="", help="its control token")
    parser.add_argument(
        "--vendor",
        action="store_true",
        help="the server is not an emulator: load no seeds, and erase nothing",
    )
    arguments = parser.parse_args()
    is_equal = True
    with _server(arguments.server, arguments.token) as server:
        if not arguments.vendor:
            server.load_seeds()
        for file in arguments.files:
            content = file.read_bytes().decode()
            recorded = record(content, server, restores=not arguments.vendor)
            if recorded != content:
                is_equal = False
                sys.stdout.writelines(_differences(content, recorded, file))
                if arguments.update:
                    file.write_bytes(recorded.encode())
    sys.exit(0 if is_equal or arguments.update else 1)


def _differences(content: str, recorded: str, file: Path) -> Iterator[str]:
    before, after = (text.splitlines(keepends=True) for text in (content, recorded))
    return difflib.unified_diff(before, after, str(file), f"{file} (recorded)")


if __name__ == "__main__":
    main()
