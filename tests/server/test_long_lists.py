"""Long lists are streamed, hold no locks and do not block other requests."""

import http.client
import json
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from conftest import QUICK_COSTS, bounce, make_app, measured_memory
from live import TIMEOUT, Live, kill, serving

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage.database import open_storage

pytestmark = pytest.mark.server

ROWS = 20_000
CREDENTIALS = "api_user=acme&api_key=s3cret"
TARGET = f"/api/bounces.get.json?{CREDENTIALS}&date=1"


@pytest.fixture(name="long_url", scope="module")
def _long_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a list of 22 MB, which exceeds all socket buffers."""
    url = f"sqlite:///{tmp_path_factory.mktemp('long') / 'b.sqlite3'}?synchronous=off"
    with closing(open_storage(url)) as storage:
        hashed = Authenticator(storage, QUICK_COSTS).hash_key("s3cret")
        acme = storage.accounts.add("acme", **hashed)
        rows = (bounce(f"{n}@x", created=n, reason="x" * 1_000) for n in range(ROWS))
        storage.bounces.put(acme.bounce_list, rows)
    return url


def _begin_reading(live: Live) -> socket.socket:
    """Request the long list and read only the status line."""
    client = socket.create_connection(live.address, TIMEOUT)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.sendall(f"GET {TARGET} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert client.recv(15) == b"HTTP/1.1 200 OK"
    return client


@pytest.mark.parametrize("suffix", ["json", "xml"])
def test_long_list_is_streamed(long_url: str, suffix: str) -> None:
    """A response of 22 MB needs less than 6 MB of memory."""
    app = make_app(long_url, Clock())
    target = TARGET.replace(".json", f".{suffix}")
    with closing(app.extensions[EXTENSION].storage):
        app.test_client().get(target.replace("date=1", "limit=1"))
        with measured_memory() as memory:
            answer = app.test_client().get(target, buffered=False)
            size = sum(map(len, answer.response))

    assert size > ROWS * 1_000
    assert memory.peak < 6_000_000


def test_slow_readers_do_not_block_other_requests(long_url: str) -> None:
    """A single worker serves eight slow readers beside other requests."""
    with (
        serving("--database", long_url, "--workers", "1") as live,
        ExitStack() as stack,
    ):
        for _ in range(8):
            stack.enter_context(closing(_begin_reading(live)))

        begun = time.monotonic()
        for n in range(20):
            found = live.get(f"/api/bounces.get.json?{CREDENTIALS}&email={n}@x")
            assert len(json.loads(found)) == 1
            gone = f"/api/bounces.delete.json?{CREDENTIALS}&email=none{n}@x"
            assert live.get(gone) == '{"message": "Email does not exist"}'
        assert time.monotonic() - begun < TIMEOUT / 2


def test_client_that_stops_reading_is_disconnected(long_url: str) -> None:
    """The server answers although more clients stall than there are threads."""
    arguments = ("--workers", "1", "--threads", "2", "--timeout", "1")
    with serving("--database", long_url, *arguments) as live, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(closing(_begin_reading(live)))
            stack.enter_context(closing(_begin_reading(live)))
            count = live.get(f"/api/bounces.count.json?{CREDENTIALS}")
            assert count == f'{{"count": "{ROWS}"}}'


def test_list_that_cannot_be_read_further_ends_early(long_url: str) -> None:
    """The log has the cause in one line."""
    with serving("--database", long_url, "--workers", "1") as live:
        with (
            socket.create_connection(live.address, TIMEOUT) as client,
            closing(open_storage(long_url)) as storage,
        ):
            client.sendall(f"GET {TARGET} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            received = client.recv(15)
            storage.engine.execute("ALTER TABLE bounce RENAME TO away")
            while piece := client.recv(1_000_000):
                received += piece
            storage.engine.execute("ALTER TABLE away RENAME TO bounce")
        assert received.startswith(b"HTTP/1.1 200 OK")
        assert not received.endswith(b"0\r\n\r\n")
        assert live.get(f"/api/bounces.count.json?{CREDENTIALS}")
        _out, log = kill(live.process)
    assert "GET '/api/bounces.get.json' failed: sqlite database" in log
    assert "no such table: bounce" in log
    assert "Traceback" not in log


def test_disconnecting_client_leaves_no_lock(long_url: str) -> None:
    """After a hundred aborted lists the write-ahead log can be truncated."""
    file = long_url.removeprefix("sqlite:///").partition("?")[0]
    with serving("--database", long_url, "--workers", "1", "--threads", "4") as live:
        for _ in range(100):
            _begin_reading(live).close()
        host = live.url.removeprefix("http://")
        with closing(http.client.HTTPConnection(host, timeout=TIMEOUT)) as connection:
            connection.request("GET", TARGET)
            assert len(json.loads(connection.getresponse().read())) == ROWS
        with closing(open_storage(long_url)) as storage:
            added = [bounce("hung@x")]
            storage.bounces.put(storage.accounts.get("acme").bounce_list, added)
            ((busy, _, _),) = storage.engine.fetch("PRAGMA wal_checkpoint(TRUNCATE)")
            left = Path(f"{file}-wal").stat().st_size
            storage.bounces.delete(
                storage.accounts.get("acme").bounce_list,
                BounceQuery(emails=("hung@x",)),
                clock=Clock(),
            )

    assert (busy, left) == (0, 0)
