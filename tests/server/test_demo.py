"""The demo server: real HTTP, well-formed and malformed, in the default test run."""

import http.client
import json
import signal
import subprocess
from pathlib import Path

import pytest
from live import COMMAND, TIMEOUT, Live, serving

DEMO = "?api_user=demo&api_key=demo"


@pytest.fixture(name="demo", scope="module")
def _demo():
    """A demo server for tests that only read."""
    with serving("--demo", "--workers", "1") as live:
        yield live


def test_demo_has_the_bounces_of_the_readme(demo: Live) -> None:
    """The README shows these responses."""
    listed = json.loads(demo.get(f"/api/bounces.get.json{DEMO}&date=1"))

    assert [row["email"] for row in listed[:3]] == [
        "esting@sendgrid.ne",
        "rawest@gmail.co",
        "claims@msp.org",
    ]
    assert demo.get(f"/api/bounces.count.json{DEMO}") == '{"count": "6"}'


def test_connection_is_kept_alive(demo: Live) -> None:
    """Three requests use one connection."""
    connection = http.client.HTTPConnection(demo.url.removeprefix("http://"))
    for _ in range(3):
        connection.request("GET", f"/api/bounces.count.json{DEMO}")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"count": "6"}')
        assert connection.sock is not None
    connection.close()


FORM = b"Host: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
TARGET = f"/api/bounces.delete.json{DEMO}".encode()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (
            b"POST " + TARGET + b" HTTP/1.1\r\n" + FORM + b"Content-Length: x\r\n\r\n",
            b"400",
        ),
        (
            b"POST "
            + TARGET
            + b" HTTP/1.1\r\n"
            + FORM
            + b"Content-Length: 9\r\n\r\nema",
            b"400",
        ),
        (
            b"POST "
            + TARGET
            + b" HTTP/1.1\r\n"
            + FORM
            + b"Transfer-Encoding: chunked\r\n\r\n5\r\nemail\r\n",
            b"400",
        ),
        (
            b"POST "
            + TARGET
            + b" HTTP/1.1\r\n"
            + FORM
            + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nemail\r\n",
            b"400",
        ),
        (
            b"POST "
            + TARGET
            + b" HTTP/1.1\r\n"
            + FORM
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + (b"FFFF\r\n" + b"a" * 0xFFFF + b"\r\n") * 20
            + b"0\r\n\r\n",
            b"413",
        ),
        (
            b"POST "
            + TARGET
            + b" HTTP/1.1\r\n"
            + FORM
            + b"Content-Length: 1500000\r\n\r\n"
            + b"a" * 1_500_000,
            b"413",
        ),
        (b"BREW " + TARGET + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
    ],
)
def test_malformed_request_is_rejected_in_json(demo, request_, status) -> None:
    """The response contains no API key, and nothing is deleted."""
    answered, content_type, body = demo.send(request_)

    assert (status, b"application/json") == (answered, content_type)
    assert json.loads(body)
    assert b"api_key" not in body
    assert demo.get(f"/api/bounces.count.json{DEMO}") == '{"count": "6"}'


def test_delete_with_a_fragment_is_rejected(demo: Live) -> None:
    """The server removes the fragment, which can be a part of a filter."""
    request = b"GET " + TARGET + b"&email=#1@x.com HTTP/1.1\r\nHost: x\r\n\r\n"

    assert demo.send(request)[0] == b"400"
    assert demo.get(f"/api/bounces.count.json{DEMO}") == '{"count": "6"}'


def test_incomplete_import_is_rejected_in_json(demo: Live) -> None:
    """The body is malformed or ends early."""
    head = (
        b"POST /v3/samples.mailgun.org/bounces/import HTTP/1.1\r\nHost: x\r\n"
        b"Authorization: Basic YXBpOmRlbW8=\r\n"
        b"Content-Type: multipart/form-data; boundary=xx\r\n"
    )
    for rest in (
        b"Transfer-Encoding: chunked\r\n\r\napi_key=x\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n--xx",
        b"Content-Length: 500\r\n\r\n--xx\r\n",
    ):
        status, content_type, body = demo.send(head + rest)
        assert (status, content_type) == (b"400", b"application/json; charset=utf-8")
        assert json.loads(body)["message"]


def test_parse_error_is_rendered_by_the_dialect(demo: Live) -> None:
    """The server refuses invalid UTF-8 before the request reaches a view."""
    for path, words in (
        (b"/api/bounces.get.json", b'{"message": "error", "errors": ["bad request"]}'),
        (b"/api/bounces.get.xml", b"<message>error: bad request</message>"),
        (b"/api/user.bounces.json", b'{"error":{"code":400,"message":"Bad request"}}'),
        (b"/v3/d/bounces", b"400 bad request"),
    ):
        status, _, body = demo.send(
            b"GET " + path + b"?a=\xff HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert status == b"400"
        assert words in body


def test_client_that_sends_all_of_a_refused_body_gets_the_error(demo: Live) -> None:
    """The server reads and discards the rest of the body."""
    connection = http.client.HTTPConnection(demo.url.removeprefix("http://"))
    for size in (2_000_000, 20_000_000):
        connection.request("POST", "/api/bounces.get.json", b"a" * size)
        answer = connection.getresponse()
        assert (answer.status, answer.read()[:10]) == (413, b'{"message"')
        connection.close()


@pytest.mark.server
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_server(number: signal.Signals, tmp_path: Path) -> None:
    """The exit code is 0, and the demo database is removed."""
    with serving("--demo", TMPDIR=str(tmp_path)) as live:
        assert list(tmp_path.iterdir())
        live.get(f"/api/bounces.count.json{DEMO}")
        live.process.send_signal(number)
        out, err = live.process.communicate(timeout=TIMEOUT)

    assert (live.process.returncode, out) == (0, "")
    assert "Try:" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.server
def test_port_in_use_is_reported_in_one_line(demo: Live) -> None:
    """The exit code is 1."""
    port = demo.url.rpartition(":")[2]
    ended = subprocess.run(
        [*COMMAND, "serve", "--demo", "--port", port],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    hint = "choose another port with --port; 0 picks a free one"
    assert (
        1,
        "",
        f"Error: cannot listen on 127.0.0.1:{port}: Address already in use ({hint})\n",
    ) == (
        ended.returncode,
        ended.stdout,
        ended.stderr,
    )
