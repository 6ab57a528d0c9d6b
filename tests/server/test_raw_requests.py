"""Malformed requests to a real server: none is answered with a 5xx status."""

import base64
import random
import re
import socket
from collections.abc import Iterator
from itertools import islice

import pytest
from live import TIMEOUT, Live, kill, serving

pytestmark = pytest.mark.server

#: Mutated requests; the seed of the random numbers makes them the same in each run.
REQUESTS, SEED = 400, 20261126

LOGIN = b"Authorization: Basic " + base64.b64encode(b"api:k-s3cret") + b"\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
BODY = b"api_user=a&api_key=k-s3cret&email=a%40b.example"

#: Valid requests to each vendor, and to the other endpoints.
VALID = (
    b"GET /api/bounces.get.json?api_user=a&api_key=k-s3cret&date=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /api/bounces.delete.xml HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s"
    % (FORM, len(BODY), BODY),
    b"GET /v3/a.example/bounces?limit=1 HTTP/1.1\r\nHost: x\r\n%s\r\n" % LOGIN,
    b"POST /v3/a.example/bounces HTTP/1.1\r\nHost: x\r\n%sContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n16\r\n[{\"address\": \"a@b.c\"}]\r\n0\r\n\r\n" % LOGIN,
    b"POST /v3/a.example/bounces/import HTTP/1.1\r\nHost: x\r\n%s"
    b"Content-Type: multipart/form-data; boundary=xx\r\nContent-Length: 91\r\n\r\n--xx\r\n"
    b"Content-Disposition: form-data; name=\"file\"; filename=\"b.csv\"\r\n\r\naddress\n"
    b"--xx--\r\n\r\n\r\n" % LOGIN,
    b"GET /v3/suppression/bounces HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nAuthorization: Bearer other-s3cret\r\n\r\n",
    b"PUT /_emulator/clock HTTP/1.1\r\nHost: localhost\r\nContent-Length: 19\r\n\r\n{\"action\": \"reset\"}",
    b"POST /_sources/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
)  # fmt: skip

#: Bytes that matter to parsers.
PIECES = (
    *(b"\0", b"\r\n", b"\n", b" ", b":", b"%", b"%00", b"%ff", b"\xff", b"&", b"=", b"?"),
    *(b"#", b"/../", b"//", b"-1", b"99999999999999999999", b"chunked", b"[", b"{", b'"'),
    *(b"Content-Length: 1\r\n", b"Expect: 100-continue\r\n", b"HTTP/1.0", b"HEAD", b"\t"),
)  # fmt: skip


def _mutated(chance: random.Random) -> Iterator[bytes]:
    """Yield requests with pieces inserted, removed, repeated and replaced."""
    while True:
        request = bytearray(chance.choice(VALID))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(request))
            until = at + chance.randint(0, 8)
            new = chance.choice((b"", request[at:until] * 2, chance.choice(PIECES)))
            request[at:until] = new
        yield bytes(request)


def _status(live: Live, request: bytes) -> int:
    """Return the status of the response; 0 for a closed connection."""
    answer = live.send(request)[0]
    return int(answer) if re.fullmatch(rb"\d{3}", answer) else 0


def test_mutated_requests_are_not_server_errors(tmp_path) -> None:
    """No worker ends, and valid requests are answered before and afterwards."""
    url = f"sqlite:///{tmp_path / 'b.sqlite3'}"
    with serving("--database", url, "--auth", "any", "--timeout", "5") as live:
        expected = [_status(live, request) for request in VALID]

        assert expected == [200, 200, 200, 200, 202, 200, 200, 404]
        workers = live.workers()
        requests = islice(_mutated(random.Random(SEED)), REQUESTS)
        statuses = [(_status(live, request), request) for request in requests]
        assert [each for each in statuses if each[0] >= 500] == []
        assert len({status for status, _ in statuses}) > 5
        assert live.workers() == workers
        assert [_status(live, request) for request in VALID][2:] == expected[2:]
        log = kill(live.process)[1]
    assert "Traceback" not in log


def test_trailers_are_limited(tmp_path) -> None:
    """They are searched again and again while they arrive."""
    head = VALID[3].removesuffix(b"\r\n\r\n") + b"\r\n"
    url = f"sqlite:///{tmp_path / 'b.sqlite3'}"
    with serving("--database", url, "--auth", "any") as live:
        assert _status(live, head + b"X: %s\r\n\r\n" % (b"x" * 4_000)) == 200
        long = b"".join(b"X: %s\r\n" % (b"x" * 4_000) for _ in range(5))
        assert _status(live, head + long + b"\r\n") in (0, 400, 431)
        assert _status(live, VALID[3]) == 200


def test_chunks_are_limited(tmp_path) -> None:
    """Each takes microseconds: a million of them took seconds without a key."""
    head = b"POST /api/bounces.count.json HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
    head += b"chunked\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
    form = b"api_user=a&api_key=k&x="
    head += b"%x\r\n%s\r\n" % (len(form), form)
    url = f"sqlite:///{tmp_path / 'b.sqlite3'}"
    with serving("--database", url, "--auth", "any") as live:
        for number, status in ((90_000, 200), (100_000, 400)):
            assert _status(live, head + b"1\r\na\r\n" * number + b"0\r\n\r\n") == status


def test_malformed_body_that_is_not_read_has_one_response(tmp_path) -> None:
    """Further bytes would be the response to the next request of the connection."""
    head = b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    url = f"sqlite:///{tmp_path / 'b.sqlite3'}"
    with (
        serving("--database", url, "--auth", "any") as live,
        socket.create_connection(live.address, TIMEOUT) as connection,
    ):
        connection.sendall(head + b"zz\r\na\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.count(b"HTTP/1.1 ") == 1
