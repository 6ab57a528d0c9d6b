"""Server processes on free ports."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

COMMAND = [sys.executable, "-m", "sendgrid_bounces"]
ROOT = Path(__file__).parent.parent
TIMEOUT = 30


@dataclass
class Live:
    """A running server.

    :param context: the certificates that its clients trust, for HTTPS.
    """

    url: str
    process: subprocess.Popen
    context: ssl.SSLContext | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    def get(self, target: str, data: bytes | None = None) -> str:
        """Return the body of the response to a GET request, or to a POST of *data*."""
        with urllib.request.urlopen(  # noqa: S310 - http or https
            self.url + target, data, TIMEOUT, context=self.context
        ) as answer:
            return answer.read().decode()

    def send(
        self, request: bytes, *, half_close: bool = True
    ) -> tuple[bytes, bytes, bytes]:
        """Send bytes; return the status, the content type and the body of the response.

        :param half_close: whether the server can see that the request has ended.
        """
        with socket.create_connection(self.address, TIMEOUT) as connection:
            with suppress(OSError):  # the server can refuse a request before its end
                connection.sendall(request)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := connection.recv(65_536):
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *headers = head.split(b"\r\n")
        types = [h[14:] for h in headers if h.lower().startswith(b"content-type: ")]
        return status[9:12], b"".join(types), body

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in children.split()]

    def when_up(self, target: str) -> str:
        """Wait until the server accepts requests; return the body of the response."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                return self.get(target)
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline
                time.sleep(0.05)


@contextmanager
def serving(*args: str, cwd: Path | None = None, **variables: str) -> Iterator[Live]:
    """Run ``sendgrid-bounces serve`` on a free port, and kill it in the end."""
    command = ("sendgrid_bounces", "serve", "--port", "0", *args)
    process = start(*command, cwd=cwd, **variables)
    try:
        line = process.stdout.readline()
        match = re.fullmatch(r"Listening on (https?://127\.0\.0\.1:\d+)\n", line)
        assert match, (line, process.poll() is None or process.stderr.read())
        yield Live(match[1], process)
    finally:
        if process.returncode is None:
            kill(process)


@contextmanager
def gunicorn(
    target: str, *flags: str, cwd: Path = ROOT, **variables: str
) -> Iterator[Live]:
    """Run Gunicorn with the entry point *target*, without waiting for its start."""
    port = free_port()
    bind = ("-b", f"127.0.0.1:{port}")
    process = start("gunicorn", *bind, *flags, target, cwd=cwd, **variables)
    try:
        yield Live(f"http://127.0.0.1:{port}", process)
    finally:
        if process.returncode is None:
            kill(process)


def free_port() -> int:
    """Return a port that is currently free."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def named(**settings: str) -> dict[str, str]:
    """Return *settings* as environment variables."""
    return {f"SENDGRID_BOUNCES_{name}": value for name, value in settings.items()}


def start(
    *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.Popen:
    """Run a Python module in a new process group, with a quick hash."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pipesize=1024 * 1024,  # the log may remain unread until the process ends
        text=True,
        env={**os.environ, **named(KEY_HASH="scrypt:128:8:1"), **variables},
        start_new_session=True,
    )


def kill(process: subprocess.Popen) -> tuple[str, str]:
    """Kill a server and its workers; return their output.

    The end of their pipes shows that all processes have ended.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate(timeout=TIMEOUT)
