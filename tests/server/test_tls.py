"""Servers that speak TLS: with real clients, and with those that do not play along."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import trustme
from live import COMMAND, ROOT, TIMEOUT, Live, free_port, kill, named, serving, start

from sendgrid_bounces.testing import EmulatorServer

pytestmark = pytest.mark.server

DEMO = "?api_user=demo&api_key=demo"


class Files:
    """A certificate, its key, and the authority that issued it, as files."""

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
    """The demo, which the tests only read."""
    with serving("--demo", "--workers", "1", *files.flags) as live:
        assert live.url.startswith("https://")
        yield live


def _address(live: Live) -> tuple[str, int]:
    host, port = live.url.rpartition("/")[2].split(":")
    return host, int(port)


def _curl(files: Files, *args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["curl", "-sS", "--cacert", str(files.authority), *args],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_curl_trusts_it_by_either_name(demo: Live, files: Files) -> None:
    """By its address, and as the host that an old client has built in."""
    port = _address(demo)[1]
    resolve = ("--resolve", f"sendgrid.com:{port}:127.0.0.1")
    for base in (demo.url, f"https://sendgrid.com:{port}"):
        ended = _curl(files, *resolve, f"{base}/api/bounces.count.json{DEMO}")
        assert (ended.stdout, ended.stderr) == ('{"count": "6"}', "")


def test_a_connection_is_kept(demo: Live, files: Files) -> None:
    """Also by a client that pauses, and is asked for with the scheme of its links."""
    connection = http.client.HTTPSConnection(*_address(demo), context=files.context)
    basic = {"Authorization": "Basic YXBpOmRlbW8="}
    for _ in range(3):
        connection.request("GET", "/v3/samples.mailgun.org/bounces", headers=basic)
        paging = json.loads(connection.getresponse().read())["paging"]
        assert paging["first"].startswith(f"{demo.url}/v3/")
        assert connection.sock is not None
    connection.close()


def test_a_long_list_comes_whole(files: Files, url: str, tmp_path: Path) -> None:
    """Streamed, as without TLS."""
    bounces = [{"email": f"{n}@x", "reason": "r" * 200} for n in range(3_000)]
    seed = tmp_path / "seed.json"
    account = {"username": "acme", "api_key": "s3cret", "bounces": bounces}
    seed.write_text(json.dumps({"accounts": [account]}))
    with serving("--database", url, "--seed", str(seed), *files.flags) as live:
        query = "?api_user=acme&api_key=s3cret"
        ended = _curl(files, f"{live.url}/api/bounces.get.json{query}")
    assert len(json.loads(ended.stdout)) == len(bounces)


@pytest.mark.parametrize("stage", ["hello", "request", "answer"])
def test_a_stalled_client_is_let_go(
    files: Files, url: str, tmp_path, stage: str
) -> None:
    """Whether it does not shake hands, does not ask, or does not read."""
    bounces = [{"email": f"{n}@x", "reason": "r" * 9_000} for n in range(1_500)]
    seed = tmp_path / "seed.json"
    account = {"username": "acme", "api_key": "s3cret", "bounces": bounces}
    seed.write_text(json.dumps({"accounts": [account]}))
    flags = ("--workers", "1", "--threads", "2", "--timeout", "1", *files.flags)
    query = "?api_user=acme&api_key=s3cret"
    with (
        serving("--database", url, "--seed", str(seed), *flags) as live,
        ExitStack() as stack,
    ):
        stalled = [
            stack.enter_context(socket.create_connection(_address(live), TIMEOUT))
            for _ in range(4)
        ]
        if stage == "hello":
            for connection in stalled:
                connection.sendall(b"\x16\x03\x01")
        else:
            asked = b"GET /api/bounces.get.json" + query.encode()
            whole = b" HTTP/1.1\r\nHost: x\r\n\r\n" if stage == "answer" else b""
            for n, connection in enumerate(stalled):
                stalled[n] = stack.enter_context(
                    files.context.wrap_socket(connection, server_hostname="127.0.0.1")
                )
                stalled[n].sendall(asked + whole)
        began = time.monotonic()
        ended = _curl(files, f"{live.url}/api/bounces.count.json{query}")
        assert ended.stdout == '{"count": "1500"}'
        assert time.monotonic() - began < 10
        if stage != "answer":
            for connection in stalled:
                connection.settimeout(10)
                assert connection.recv(1) == b""
        _out, err = kill(live.process)
    assert "Traceback" not in err


def test_plain_http_is_told_where_it_is(files: Files) -> None:
    """In plain HTTP, and nothing of it is in a log but a line."""
    with serving("--demo", "--workers", "1", *files.flags) as live:
        plain = live.url.replace("https", "http")
        ended = _curl(files, "-w", " %{http_code}", f"{plain}/api/x?api_key=s3cret")
        assert (
            ended.stdout
            == "This port speaks TLS: the URL must begin with https://\n 400"
        )
        _out, err = kill(live.process)
    assert "no TLS with 127.0.0.1: http request" in err
    assert "Traceback" not in err
    assert "s3cret" not in err


def test_a_client_that_does_not_trust_it_is_a_line_in_the_log(files: Files) -> None:
    """Which says what is wrong, to whoever looks for it."""
    with serving("--demo", "--workers", "1", *files.flags) as live:
        ended = subprocess.run(
            ["curl", "-sS", live.url], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 60
        health = subprocess.run(
            ["curl", "-sSk", f"{live.url}/_emulator/health"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert '"ok"' in health.stdout
        _out, err = kill(live.process)
    assert "no TLS with 127.0.0.1: tlsv1 alert unknown ca" in err
    assert "Traceback" not in err


def _faulty(files: Files, tmp_path: Path) -> dict[str, tuple[object, object, str]]:
    """Return pairs of files that are none, and what is said of them."""
    other, words, locked = (tmp_path / name for name in ("other", "words", "locked"))
    trustme.CA().issue_cert("x").private_key_pem.write_to_path(other)
    words.write_text("no PEM")
    command = [
        "openssl",
        "pkey",
        "-in",
        str(files.key),
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        str(locked),
    ]
    subprocess.run(command, check=True)
    missing = tmp_path / "missing"
    return {
        "no key": (
            files.cert,
            "",
            "a certificate and its key go together: give both --ssl-cert and --ssl-key",
        ),
        "no cert": (
            "",
            files.key,
            "a certificate and its key go together: give both --ssl-cert and --ssl-key",
        ),
        "missing": (
            missing,
            files.key,
            f"cannot read {missing}: No such file or directory",
        ),
        "folder": (files.cert, tmp_path, f"cannot read {tmp_path}: Is a directory"),
        "mismatch": (
            files.cert,
            other,
            f"the key in {other} is not that of the certificate in {files.cert}",
        ),
        "no pem": (
            words,
            files.key,
            f"{words} and {files.key} must hold a certificate and its key, in PEM",
        ),
        "encrypted": (
            files.cert,
            locked,
            f"the key in {locked} is encrypted: give one that is not",
        ),
    }


FAULTS = ["no key", "no cert", "missing", "folder", "mismatch", "no pem", "encrypted"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("program", ["serve", "gunicorn"])
def test_a_wrong_certificate_is_one_line(files, url, tmp_path, program, fault) -> None:
    """Before anything is listened on."""
    cert, key, words = _faulty(files, tmp_path)[fault]
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
        f"Error: {words}\n",
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


def test_health_knows_the_certificate(demo: Live, files: Files, tmp_path: Path) -> None:
    """From the flag or the server's own variable; another one is refused."""
    port = str(_address(demo)[1])
    variable = {"SENDGRID_BOUNCES_SSL_CERT": str(files.cert)}
    for ended in (
        _health("--port", port, "--ssl-cert", str(files.cert)),
        _health("--port", port, **variable),
        _health("--port", port, "--ssl-cert", str(files.authority)),
    ):
        assert ended.returncode == 0, ended.stderr
        assert '"ok"' in ended.stdout

    other = Files(tmp_path)
    for wrong, words in (
        (other.cert, "certificate verify failed"),
        (tmp_path / "none", "cannot read"),
        (files.key, "holds no certificate"),
    ):
        ended = _health("--port", port, "--ssl-cert", str(wrong))
        assert ended.returncode == 1
        assert ended.stderr.startswith("Error: ")
        assert words in ended.stderr
        assert ended.stderr.count("\n") == 1
    assert "the URL must begin with https://" in _health("--port", port).stderr


def test_gunicorn_speaks_it_too(files: Files, url: str) -> None:
    """With the same settings."""
    port = free_port()
    variables = named(
        DATABASE_URL=url,
        SSL_CERT=str(files.cert),
        SSL_KEY=str(files.key),
        PORT=str(port),
    )
    process = start("gunicorn", "wsgi:app", cwd=ROOT, **variables)
    try:
        retry = (
            "--retry",
            "50",
            "--retry-delay",
            "0",
            "--retry-connrefused",
            "--retry-max-time",
            str(TIMEOUT),
        )
        ended = _curl(files, *retry, f"https://127.0.0.1:{port}/_emulator/health")
        assert '"ok"' in ended.stdout
    finally:
        _out, err = kill(process)
    assert "Traceback" not in err


def test_a_server_of_a_test_suite_speaks_it(files: Files) -> None:
    """One that does not shake hands holds up nobody, and nothing is written."""
    with (
        EmulatorServer(ssl_cert=files.cert, ssl_key=files.key) as server,
        socket.create_connection(server.address) as stalled,
    ):
        stalled.sendall(b"\x16\x03\x01")
        ended = _curl(files, f"{server.url}/_emulator/health")
        assert '"ok"' in ended.stdout
        with socket.create_connection(server.address) as plain, suppress(OSError):
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while plain.recv(1_000):
                pass


@pytest.mark.parametrize("where", ["serve", "suite"])
def test_faults_of_connections_are_those_of_plain_http(
    files: Files, where: str
) -> None:
    """The connection ends without an answer, or amid it; curl tells the two apart."""
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
        for rule, code in (
            ({"drop_connection": True}, 52),
            ({"drop_connection": "after"}, 52),
            ({"truncate": True}, 18),
        ):
            body = (
                "-H",
                "Content-Type: application/json",
                "-d",
                json.dumps({**rule, "times": 1}),
            )
            assert "ids" in _curl(files, f"{base}/_emulator/faults", *body).stdout
            url = f"{base}/api/bounces.get.json{DEMO}"
            assert _curl(files, url).returncode == code
            assert _curl(files, url).returncode == 0
