"""Servers in other processes: start, observe and stop them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

from clients import get

ROOT = Path(__file__).parent.parent
SETTINGS = f"{ROOT}/gunicorn.conf.py"
TIMEOUT = 60
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Server:
    """A running server.

    :param started: seconds from its start to its first response.
    """

    port: int
    pid: int
    started: float

    def workers(self) -> list[int]:
        """Return the worker processes, or the server's own without workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()] or [self.pid]

    def resident(self) -> dict[int, int]:
        """Return the resident memory in bytes by worker process."""
        return {pid: _status(pid, "VmRSS") for pid in self.workers()}

    @contextmanager
    def watching_memory(self, before: dict[int, int]) -> Iterator[list[float]]:
        """Yield a list that receives the largest growth of a worker in megabytes.

        :param before: an earlier result of :meth:`resident`.
        """
        for pid in before:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # reset the peak
        grown: list[float] = []
        yield grown
        peaks = (_status(pid, "VmHWM") - was for pid, was in before.items())
        grown.append(max(peaks) / MEGABYTE)


@dataclass(frozen=True)
class Launch:
    """The way to start a server.

    :param command: the arguments, with ``{port}`` in place of the port.
    :param call: a request that succeeds when the server has started; empty if it is
        enough that the server accepts connections.
    """

    command: list[str]
    call: bytes
    variables: Mapping[str, str] = field(default_factory=dict)


#: The cheapest request to Moto.
MOTO_CALL = get(
    "/?Action=ListIdentities",
    "Authorization: AWS4-HMAC-SHA256 Credential=x/20200101/us-east-1/ses/aws4_request,"
    " SignedHeaders=host, Signature=x",
)


@contextmanager
def serving(launch: Launch) -> Iterator[Server]:
    """Run a server, and kill all its processes in the end."""
    port = free_port()
    variables = {**os.environ, **launch.variables}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # as if installed
    with TemporaryFile() as log:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [part.format(port=port) for part in launch.command],
            cwd=ROOT,
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
        try:
            while not _answers(port, launch.call):
                if process.poll() is not None:
                    log.seek(0)
                    raise SystemExit(f"{launch.command}: {log.read().decode()}")
                if time.perf_counter() - begun > TIMEOUT:
                    raise SystemExit(f"{launch.command} does not answer")
                time.sleep(0.001)
            yield Server(port, process.pid, time.perf_counter() - begun)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(TIMEOUT)


def emulator(url: str, *flags: str, **settings: str) -> Launch:
    """Return the way to serve the database at *url* with default settings.

    :param flags: of Gunicorn.
    :param settings: other settings of the emulator.
    """
    settings = {"DATABASE_URL": url, **settings}
    variables = {f"SENDGRID_BOUNCES_{name}": text for name, text in settings.items()}
    call = b"" if "SSL_CERT" in settings else get("/_emulator/health")
    return Launch(_gunicorn("wsgi:app", *flags), call, variables)


def hello() -> Launch:
    """Return the way to serve bare Flask by Gunicorn with our settings."""
    return Launch(_gunicorn("benchmarks.hello:app"), get("/"))


def hello_by_default() -> Launch:
    """Return the way to serve bare Flask by Gunicorn with default settings."""
    command = [sys.executable, "-m", "gunicorn", "-c", "/dev/null"]
    command += ["--workers=2", "--threads=16", "--bind=127.0.0.1:{port}"]
    return Launch([*command, "--no-control-socket", "benchmarks.hello:app"], get("/"))


def moto() -> Launch:
    """Return the way to serve Moto, an emulator of AWS."""
    program = str(Path(sys.executable).parent / "moto_server")
    return Launch([program, "-H", "127.0.0.1", "-p", "{port}"], MOTO_CALL)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _gunicorn(app: str, *flags: str) -> list[str]:
    bind = "--bind=127.0.0.1:{port}"
    return [sys.executable, "-m", "gunicorn", "-c", SETTINGS, bind, *flags, app]


def _answers(port: int, call: bytes) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as probe:
        if not call:
            return True
        probe.settimeout(TIMEOUT)
        probe.sendall(call)
        return probe.recv(64).startswith(b"HTTP/1.1 200")
    return False


def _status(pid: int, name: str) -> int:
    """Return the entry *name* in the status of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)
