"""Slow and silent clients do not delay other clients, and are disconnected."""

import http.client
import json
import os
import resource
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from live import TIMEOUT, Live, serving

pytestmark = pytest.mark.server

COUNT = "/api/bounces.count.json?api_user=demo&api_key=demo"
HEAD = b"GET " + COUNT.encode() + b" HTTP/1.1\r\nHost: x\r\n"
BODY = (
    b"POST /api/bounces.count.json HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n"
)
CHUNKED = (
    BODY.replace(b"Content-Length: 99999", b"Transfer-Encoding: chunked") + b"1\r\n"
)

#: Seconds in which each good call must be answered. The calls took five seconds, or
#: were not answered at all, when each connection took a thread.
LIMIT = 1


@pytest.fixture(name="demo", scope="module")
def _demo() -> Iterator[Live]:
    """A demo server with default settings."""
    with serving("--demo") as live:
        for _ in range(8):  # both workers cache the key
            live.get(COUNT)
        yield live


@contextmanager
def _connections(live: Live, count: int, beginning: bytes = b"") -> Iterator[list]:
    """Open *count* connections that send *beginning* and then nothing."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = socket.create_connection(live.address, TIMEOUT)
            opened.append(stack.enter_context(connection))
            connection.sendall(beginning)
        time.sleep(0.2)
        yield opened


def _longest(live: Live, calls: int = 30) -> float:
    """Return the seconds that the slowest of some good calls takes."""
    longest = 0.0
    for _ in range(calls):
        began = time.monotonic()
        assert live.get(COUNT) == '{"count": "6"}'
        longest = max(longest, time.monotonic() - began)
    return longest


@pytest.mark.parametrize(
    ("count", "beginning"),
    [
        (500, b""),
        (64, b"GET /a"),
        (64, HEAD),
        (64, BODY.replace(b"99999", b"9") + b"abc"),
        (28, BODY),
        (900, HEAD + b"X: " + b"a" * 60_000),
        (100, BODY + b"a" * 9_999),
        (100, CHUNKED),
        (100, BODY.replace(b"Host", b"Expect: 100-continue\r\nHost")),
        (100, BODY.replace(b"bounces.count.json", b"unknown")),
    ],
    ids=[
        *("silent", "request line", "headers", "short body", "long body"),
        *(
            "long heads",
            "long bodies",
            "chunked bodies",
            "expected bodies",
            "unread bodies",
        ),
    ],
)
def test_stalled_clients_do_not_delay_others(demo: Live, count, beginning) -> None:
    """Only long bodies need threads, and have half of them."""
    with _connections(demo, count, beginning):
        assert _longest(demo) < LIMIT


def test_half_open_handshakes_do_not_delay_others(tmp_path: Path) -> None:
    """The beginning of a TLS handshake needs no thread."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    pem = str(tmp_path / "cert.pem")
    with serving("--demo", "--ssl-cert", pem, "--ssl-key", pem) as live:
        live.context = ssl.create_default_context()
        authority.configure_trust(live.context)
        for _ in range(8):
            live.get(COUNT)
        with _connections(live, 64, b"\x16\x03\x01\x02\x00\x01"):
            assert _longest(live) < LIMIT


@pytest.mark.parametrize(
    ("count", "beginning", "interval"),
    [(40, b"GET /", 1), (31, BODY, 0.3)],
    ids=["heads", "bodies"],
)
def test_clients_of_single_bytes_do_not_delay_others(
    demo: Live, count, beginning, interval
) -> None:
    """A byte of a head takes a thread for an instant.

    A long body takes a thread as long as it arrives. Such bodies wait for their turns.
    """
    ended = threading.Event()
    with _connections(demo, count, beginning) as connections:

        def trickle() -> None:
            while not ended.wait(interval):
                for connection in connections:
                    with suppress(OSError):  # the server has a limit of time
                        connection.sendall(b"a")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            assert _longest(demo, 300) < LIMIT
        finally:
            ended.set()
            thread.join(TIMEOUT)


def test_refused_clients_that_do_not_close_do_not_delay_others(demo: Live) -> None:
    """A thread waits for them for some time, but not each thread."""
    with _connections(demo, 100, b"GET / HTTP/1.1\r\nbad\r\n\r\n"):
        assert _longest(demo) < LIMIT


def test_client_that_does_not_close_does_not_delay_others(demo: Live) -> None:
    """The server closes a finished connection without waiting for the client."""
    request = HEAD + b"Connection: close\r\n\r\n"
    with _connections(demo, 64, request):
        assert _longest(demo) < LIMIT


@pytest.fixture(name="strict")
def _strict(tmp_path: Path) -> Iterator[tuple[Live, Path]]:
    """A server of two threads with a timeout of one second, and its access log."""
    log = tmp_path / "access.log"
    flags = ("--workers", "1", "--threads", "2", "--timeout", "1")
    with serving("--demo", *flags, "--access-log", str(log)) as live:
        yield live, log


@pytest.mark.parametrize(
    ("beginning", "line"),
    [
        (b"GET /a", '"- - -" 408 '),
        (BODY, '"POST /api/bounces.count.json HTTP/1.1" 408 '),
        (BODY.replace(b"99999", b"99"), '"- - -" 408 '),
    ],
    ids=["head", "long body", "short body"],
)
def test_slow_request_is_disconnected_and_logged(strict, beginning, line) -> None:
    """The timeout is for the whole request, not for each byte."""
    live, log = strict
    with _connections(live, 1, beginning) as (connection,):
        began = time.monotonic()
        connection.settimeout(0.3)
        while True:
            try:
                if not connection.recv(1_000):
                    break
            except TimeoutError:
                connection.sendall(b"a")
            except ConnectionError:
                break
            assert time.monotonic() - began < 10
    assert line in log.read_text()


def test_large_body_has_more_time(strict) -> None:
    """A client may send 500 bytes a second for longer than the timeout."""
    live, _log = strict
    piece = b"a=" + b"1" * 998
    head = BODY.replace(b"99999", b"%d" % (70 * len(piece) + 69))
    head = head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with socket.create_connection(live.address, TIMEOUT) as connection:
        connection.sendall(head + b"&".join([piece] * 67))
        for _ in range(3):
            time.sleep(0.9)
            connection.sendall(b"&" + piece)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 4")
    assert b" 408 " not in answer.partition(b"\r\n")[0]


def test_busy_worker_disconnects_stalled_clients_early() -> None:
    """A kept connection would otherwise wait for the timeout of 30 seconds."""
    with serving("--demo", "--workers", "1", "--threads", "4") as live:
        kept = http.client.HTTPConnection(*live.address, timeout=TIMEOUT)
        kept.request("GET", COUNT)
        kept.getresponse().read()
        with _connections(live, 4, BODY):
            began = time.monotonic()
            kept.request("GET", COUNT)
            assert kept.getresponse().read() == b'{"count": "6"}'
            assert time.monotonic() - began < 10
        kept.close()


def test_long_body_has_its_turn_after_stalled_ones() -> None:
    """Stalled clients are disconnected early, because another waits for its turn."""
    rows = [{"email": f"{n}@example.com", "reason": "x" * 500} for n in range(200)]
    with serving("--demo", "--workers", "1", "--threads", "4") as live:
        with _connections(live, 4, BODY):
            stored = live.get(
                "/_emulator/bounces?owner=demo", json.dumps(rows).encode()
            )
        assert json.loads(stored) == {"stored": 200}


def test_long_body_has_its_turn_among_slow_ones() -> None:
    """A slow body ends when another waits, and each client has its turn."""
    head = b"POST /api/bounces.count.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += b"Content-Type: application/x-www-form-urlencoded\r\n"
    body = b"api_user=demo&api_key=demo&x=" + b"a" * 100_000
    ended = threading.Event()
    with (
        serving("--demo", "--workers", "1", "--threads", "4") as live,
        _connections(live, 20, BODY.replace(b"99999", b"900000")) as slow,
        socket.create_connection(
            live.address, TIMEOUT, source_address=("127.0.0.2", 0)
        ) as other,
    ):

        def send() -> None:
            while not ended.wait(0.5):
                for connection in slow:
                    with suppress(OSError):
                        connection.sendall(b"a" * 5_000)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            began = time.monotonic()
            other.sendall(b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body))
            assert other.recv(1_000).startswith(b"HTTP/1.1 200 ")
            assert time.monotonic() - began < 15
        finally:
            ended.set()
            thread.join(TIMEOUT)


def test_clients_that_do_not_read_do_not_delay_others() -> None:
    """A long response does not fit into the buffers of the sockets."""
    with serving("--demo", "--workers", "1", "--threads", "4") as live:
        rows = [
            {"email": f"{n}@example.com", "status": "5.1.1", "reason": "x" * 500}
            for n in range(14_000)
        ]
        live.get("/_emulator/bounces?owner=demo", json.dumps(rows).encode())
        get = HEAD.replace(b"count", b"get") + b"\r\n"
        with _connections(live, 4, get):
            began = time.monotonic()
            live.get(COUNT)
            assert time.monotonic() - began < 10


def test_flood_of_connections_does_not_stop_the_worker() -> None:
    """The worker closes the oldest connections before it runs out of files."""
    with serving("--demo", "--workers", "1") as live:
        resource.prlimit(live.process.pid, resource.RLIMIT_NOFILE, (300, 300))
        os.kill(live.workers()[0], signal.SIGKILL)
        live.when_up(COUNT)
        workers = live.workers()
        with _connections(live, 400):
            assert _longest(live) < LIMIT
        assert live.workers() == workers


def test_requests_sent_ahead_do_not_delay_others() -> None:
    """Thousands of them would wait for a thread, on all connections of the worker."""
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving("--demo", "--workers", "1") as live:
        resource.prlimit(live.process.pid, resource.RLIMIT_NOFILE, (600, 600))
        os.kill(live.workers()[0], signal.SIGKILL)
        live.when_up(COUNT)
        with _connections(live, 450, request * 300):
            assert _longest(live, 10) < 5 * LIMIT  # one request of each is answered
        with _connections(live, 1, request * 20) as (connection,):
            connection.sendall(HEAD + b"Connection: close\r\n\r\n")
            answers = b""
            while piece := connection.recv(65_536):
                answers += piece
        assert answers.count(b"HTTP/1.1 404") == 20
        assert answers.count(b"HTTP/1.1 200") == 1


def test_stopping_worker_receives_the_rest_of_a_request(strict) -> None:
    """A reload drops no request that is on its way."""
    live, _log = strict
    with _connections(live, 1, HEAD) as (connection,):
        os.kill(live.workers()[0], signal.SIGTERM)
        for piece in (b"X-First: 1\r\n", b"X-Second: 2\r\n", b"\r\n"):
            time.sleep(0.2)
            connection.sendall(piece)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200 ")


def test_stopping_worker_gives_long_bodies_their_turn() -> None:
    """They wait for longer than idle connections of a stopping worker may."""
    body = b"api_user=demo&api_key=demo&x=" + b"a" * 100_000
    head = b"POST /api/bounces.count.json HTTP/1.1\r\nHost: x\r\n"
    head += b"Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    with (
        serving("--demo", "--workers", "1", "--threads", "4") as live,
        _connections(live, 1, head) as (first,),
        _connections(live, 1, head + body) as (second,),
    ):
        os.kill(live.workers()[0], signal.SIGTERM)
        for start in range(0, len(body), 10_000):
            first.sendall(body[start : start + 10_000])
            time.sleep(0.3)
        for connection in (first, second):
            connection.settimeout(TIMEOUT)
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
def test_stopping_worker_disconnects_slow_bodies() -> None:
    """Otherwise, the process would wait for its threads, and be killed."""
    head = b"POST /api/bounces.count.json HTTP/1.1\r\nHost: x\r\n"
    head += b"Content-Type: application/x-www-form-urlencoded\r\n"
    head += b"Content-Length: 900000\r\n\r\n"
    with (
        serving("--demo", "--workers", "1", "--threads", "4") as live,
        _connections(live, 1, head + b"a" * 200_000) as (connection,),
    ):
        stopping = live.workers()[0]
        os.kill(stopping, signal.SIGTERM)
        for _ in range(100):  # twice the grace period
            with suppress(OSError):
                connection.sendall(b"a" * 200)
            time.sleep(0.2)
            if stopping not in live.workers():
                break
        assert stopping not in live.workers()
        assert _longest(live, 1) < LIMIT
