"""TLS: valid and stalled clients, plain HTTP, invalid certificates."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from live import COMMAND, ROOT, TIMEOUT, Live, free_port, kill, named, serving, start

from sendgrid_bounces.testing import EmulatorServer

pytestmark = pytest.mark.server

#: Needs the program curl.
CURL = pytest.mark.docs

DEMO = "?api_user=demo&api_key=demo"

NOT_PEM = "must contain a certificate and its private key in PEM format"


class Files:
    """Files with a certificate, its private key and the issuing authority."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("sendgrid.com", "127.0.0.1")
        self.authority, self.cert, self.key = (
            folder / name for name in ("ca.pem", "cert.pem", "key.pem")
        )
        authority.cert_pem.write_to_path(self.authority)
        self.cert.write_bytes(b"".join(c.bytes() for c in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(self.key)

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--ssl-cert", str(self.cert), "--ssl-key", str(self.key))

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)


@pytest.fixture(name="files", scope="module")
def _files(tmp_path_factory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture(name="demo", scope="module")
def _demo(files: Files):
    """A demo server for tests that only read."""
    with serving("--demo", "--workers", "1", *files.flags) as live:
        assert live.url.startswith("https://")
        live.context = files.context
        yield live


@pytest.fixture(name="short_timeout", scope="module")
def _short_timeout(files: Files, tmp_path_factory: pytest.TempPathFactory):
    """A server with a long list, two threads and an idle timeout of one second."""
    folder = tmp_path_factory.mktemp("short")
    bounces = [{"email": f"{n}@x", "reason": "r" * 9_000} for n in range(1_500)]
    account = {"username": "acme", "api_key": "s3cret", "bounces": bounces}
    (folder / "seed.json").write_text(json.dumps({"accounts": [account]}))
    flags = ("--database", f"sqlite:///{folder / 'b.sqlite3'}", *files.flags)
    flags += ("--seed", str(folder / "seed.json"))
    flags += ("--workers", "1", "--threads", "2", "--timeout", "1")
    with serving(*flags) as live:
        live.context = files.context
        yield live
        _out, err = kill(live.process)
    assert "Traceback" not in err


def _curl(files: Files, *args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["curl", "-sS", "--cacert", str(files.authority), *args],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def _read(files: Files, url: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(  # noqa: S310 - always https
        url, data, TIMEOUT, context=files.context
    ) as answer:
        return answer.read()


@CURL
def test_certificate_covers_address_and_vendor_host(demo: Live, files: Files) -> None:
    """An old client has the vendor's host name built in."""
    port = demo.address[1]
    resolve = ("--resolve", f"sendgrid.com:{port}:127.0.0.1")
    for base in (demo.url, f"https://sendgrid.com:{port}"):
        ended = _curl(files, *resolve, f"{base}/api/bounces.count.json{DEMO}")
        assert (ended.stdout, ended.stderr) == ('{"count": "6"}', "")


def test_connection_is_kept_alive(demo: Live, files: Files) -> None:
    """The URLs in the responses have the scheme https."""
    connection = http.client.HTTPSConnection(*demo.address, context=files.context)
    basic = {"Authorization": "Basic YXBpOmRlbW8="}
    for _ in range(3):
        connection.request("GET", "/v3/samples.mailgun.org/bounces", headers=basic)
        paging = json.loads(connection.getresponse().read())["paging"]
        assert paging["first"].startswith(f"{demo.url}/v3/")
        assert connection.sock is not None
    connection.close()


@pytest.mark.parametrize("length", [8_192, 15_000])
def test_request_that_arrives_with_a_body_is_answered(
    demo: Live, files: Files, length: int
) -> None:
    """Both are in one TLS record, of which a thread reads a part."""
    head = "POST /api/bounces.get.json HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\n"
    head += f"Content-Length: {length}\r\n\r\n"
    last = "GET /_emulator/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with (
        socket.create_connection(demo.address, TIMEOUT) as plain,
        files.context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(head.encode())
        answer = connection.recv(100)
        assert answer == b"HTTP/1.1 100 Continue\r\n\r\n"
        began = time.monotonic()
        connection.sendall(("a" * length + last).encode())
        while piece := connection.recv(65_536):
            answer += piece
    assert b'"status":"ok"' in answer
    assert time.monotonic() - began < 10  # the connection is kept for 15 seconds


def test_long_list_is_complete(files: Files, url: str, tmp_path: Path) -> None:
    """A streamed response ends after its last bounce."""
    bounces = [{"email": f"{n}@x", "reason": "r" * 200} for n in range(3_000)]
    seed = tmp_path / "seed.json"
    account = {"username": "acme", "api_key": "s3cret", "bounces": bounces}
    seed.write_text(json.dumps({"accounts": [account]}))
    with serving("--database", url, "--seed", str(seed), *files.flags) as live:
        live.context = files.context
        listed = live.get("/api/bounces.get.json?api_user=acme&api_key=s3cret")
    assert len(json.loads(listed)) == len(bounces)


@pytest.mark.parametrize("stage", ["hello", "request", "answer"])
def test_stalled_client_is_disconnected(
    files: Files, short_timeout: Live, stage: str
) -> None:
    """Two clients stall in the handshake, the request or the response."""
    query = "?api_user=acme&api_key=s3cret"
    head = f"GET /api/bounces.get.json{query}"
    head += " HTTP/1.1\r\nHost: x\r\n\r\n" if stage == "answer" else ""
    with ExitStack() as stack:
        stalled = []
        for _ in range(2):
            connection = socket.create_connection(short_timeout.address, TIMEOUT)
            stack.enter_context(connection)
            if stage == "hello":
                connection.sendall(b"\x16\x03\x01")
            else:
                connection = stack.enter_context(
                    files.context.wrap_socket(connection, server_hostname="127.0.0.1")
                )
                connection.sendall(head.encode())
            stalled.append(connection)
        began = time.monotonic()
        count = short_timeout.get(f"/api/bounces.count.json{query}")
        assert count == '{"count": "1500"}'
        assert time.monotonic() - began < 10
        if stage != "answer":
            assert [connection.recv(1) for connection in stalled] == [b"", b""]


def test_plain_http_gets_an_explanation(files: Files) -> None:
    """The response is plain HTTP too; the log has one line without the URL."""
    with serving("--demo", "--workers", "1", *files.flags) as live:
        with closing(http.client.HTTPConnection(*live.address)) as connection:
            connection.request("GET", "/api/x?api_key=s3cret")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (
                400,
                b"This port speaks TLS: the URL must begin with https://\n",
            )
        _out, err = kill(live.process)
    assert "TLS handshake with 127.0.0.1 failed: http request" in err
    assert "Traceback" not in err
    assert "s3cret" not in err


def test_failed_handshake_is_logged(files: Files) -> None:
    """The client does not trust the certificate; the log has the reason."""
    with serving("--demo", "--workers", "1", *files.flags) as live:
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            live.get("/")
        live.context = files.context
        assert '"ok"' in live.get("/_emulator/health")
        _out, err = kill(live.process)
    assert "TLS handshake with 127.0.0.1 failed: tlsv1 alert unknown ca" in err
    assert "Traceback" not in err


def _invalid(files: Files, tmp_path: Path) -> dict[str, tuple[object, object, str]]:
    """Return invalid pairs of certificate and key, with their error messages."""
    other, words, locked = (tmp_path / name for name in ("other", "words", "locked"))
    trustme.CA().issue_cert("x").private_key_pem.write_to_path(other)
    words.write_text("no PEM")
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    missing, pipe = tmp_path / "missing", tmp_path / "pipe"
    os.mkfifo(pipe)
    return {
        "no key": (files.cert, "", "'ssl_cert' requires 'ssl_key'"),
        "no cert": ("", files.key, "'ssl_key' requires 'ssl_cert'"),
        "missing": (
            missing,
            files.key,
            f"cannot read {missing}: No such file or directory",
        ),
        "folder": (files.cert, tmp_path, f"cannot read {tmp_path}: Is a directory"),
        "pipe": (files.cert, pipe, f"cannot read {pipe}: not a regular file"),
        "mismatch": (
            files.cert,
            other,
            f"{other}: the private key does not match the certificate {files.cert}",
        ),
        "no pem": (
            words,
            files.key,
            f"{words} and {files.key}: {NOT_PEM}",
        ),
        "encrypted": (
            files.cert,
            locked,
            f"{locked}: the private key must not be encrypted",
        ),
    }


PROBLEMS = [
    *("no key", "no cert", "missing", "folder", "pipe", "mismatch"),
    *("no pem", "encrypted"),
]


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("program", ["serve", "gunicorn"])
def test_invalid_certificate_is_reported_in_one_line(
    files, url, tmp_path, program, problem
) -> None:
    """The server exits before it listens."""
    cert, key, message = _invalid(files, tmp_path)[problem]
    commands = {
        "serve": [*COMMAND, "serve", "--port", "0"],
        "gunicorn": [sys.executable, "-m", "gunicorn", "wsgi:app"],
    }
    variables = {"DATABASE_URL": url, "SSL_CERT": str(cert), "SSL_KEY": str(key)}
    ended = subprocess.run(
        commands[program],
        cwd=ROOT,
        env={**os.environ, **named(**variables)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        1,
        "",
        f"Error: {message}\n",
    )


def _health(*args: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, "health", *args],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_health_checks_the_certificate(
    demo: Live, files: Files, tmp_path: Path
) -> None:
    """The command trusts the given certificate, or a certificate of the given issuer."""
    port = str(demo.address[1])
    variable = {"SENDGRID_BOUNCES_SSL_CERT": str(files.cert)}
    for ended in (
        _health("--port", port, "--ssl-cert", str(files.cert)),
        _health("--port", port, **variable),
        _health("--port", port, "--ssl-cert", str(files.authority)),
        _health("--url", demo.url, "--ssl-cert", str(files.cert)),
        _health(**variable, SENDGRID_BOUNCES_URL=demo.url),
    ):
        assert ended.returncode == 0, ended.stderr
        assert '"ok"' in ended.stdout

    other = Files(tmp_path)
    for wrong, message in (
        (other.cert, "certificate verify failed"),
        (tmp_path / "none", "cannot read"),
        (files.key, "must contain a certificate"),
    ):
        ended = _health("--port", port, "--ssl-cert", str(wrong))
        assert ended.returncode == 1
        assert ended.stderr.startswith("Error: ")
        assert message in ended.stderr
        assert ended.stderr.count("\n") == 1
    assert "the URL must begin with https://" in _health("--port", port).stderr


def test_reload_keeps_the_certificate_if_the_new_one_is_broken(tmp_path: Path) -> None:
    """A renewal can be half done; the next reload reads the files again."""
    files = Files(tmp_path)
    whole = files.cert.read_bytes()
    with serving("--demo", *files.flags) as live:
        live.context = files.context
        for content in (whole[:500], None, whole):
            files.cert.unlink(missing_ok=True)
            if content is not None:
                files.cert.write_bytes(content)
            old = {*live.workers()}
            live.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + TIMEOUT
            while old & {*live.workers()} or len(live.workers()) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            for _ in range(4):
                assert live.get(f"/api/bounces.count.json{DEMO}") == '{"count": "6"}'
        _out, err = kill(live.process)
    reloads = [line for line in err.splitlines() if "was not reloaded" in line]
    assert [line.partition("reloaded: ")[2] for line in reloads] == [
        f"{files.cert} and {files.key}: {NOT_PEM}",
        f"cannot read {files.cert}: No such file or directory",
    ]
    assert "Traceback" not in err


def test_gunicorn_serves_tls(files: Files, url: str) -> None:
    """The settings are the same as for serve."""
    port = free_port()
    variables = named(
        DATABASE_URL=url,
        SSL_CERT=str(files.cert),
        SSL_KEY=str(files.key),
        PORT=str(port),
    )
    process = start("gunicorn", "wsgi:app", cwd=ROOT, **variables)
    try:
        live = Live(f"https://127.0.0.1:{port}", process, files.context)
        assert '"ok"' in live.when_up("/_emulator/health")
    finally:
        _out, err = kill(process)
    assert "Traceback" not in err


def test_emulator_server_serves_tls(files: Files) -> None:
    """A client that stalls in the handshake does not delay other clients."""
    with (
        EmulatorServer(ssl_cert=files.cert, ssl_key=files.key) as server,
        socket.create_connection(server.address) as stalled,
    ):
        stalled.sendall(b"\x16\x03\x01")
        assert b'"ok"' in _read(files, f"{server.url}/_emulator/health")
        with socket.create_connection(server.address) as plain, suppress(OSError):
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while plain.recv(1_000):
                pass


def _outcome_for_python(files: Files, url: str) -> str:
    try:
        _read(files, url)
    except http.client.RemoteDisconnected:
        return "dropped"
    except http.client.IncompleteRead:
        return "truncated"
    return "complete"


def _outcome_for_curl(files: Files, url: str) -> str:
    code = _curl(files, url).returncode
    return {0: "complete", 18: "truncated", 52: "dropped"}[code]


@pytest.mark.parametrize(
    "outcome", [_outcome_for_python, pytest.param(_outcome_for_curl, marks=CURL)]
)
@pytest.mark.parametrize("where", ["serve", "suite"])
def test_connection_faults_work_over_tls(files: Files, where: str, outcome) -> None:
    """Clients distinguish a dropped connection from a truncated body."""
    with ExitStack() as stack:
        if where == "serve":
            live = stack.enter_context(
                serving("--demo", "--workers", "1", *files.flags)
            )
            base = live.url
        else:
            names = {"username": "demo", "api_key": "demo"}
            server = EmulatorServer(ssl_cert=files.cert, ssl_key=files.key)
            double = stack.enter_context(stack.enter_context(server).double(**names))
            double.add("a@example.com")
            base = server.url
        url = f"{base}/api/bounces.get.json{DEMO}"
        for rule, expected in (
            ({"drop_connection": True}, "dropped"),
            ({"drop_connection": "after"}, "dropped"),
            ({"truncate": True}, "truncated"),
        ):
            order = json.dumps({**rule, "times": 1}).encode()
            assert b"ids" in _read(files, f"{base}/_emulator/faults", order)
            assert outcome(files, url) == expected
            assert outcome(files, url) == "complete"
