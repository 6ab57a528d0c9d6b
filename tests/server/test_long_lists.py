"""Long lists: they stream, hold nothing open, and stop nobody else."""

import http.client
import json
import socket
import time
import tracemalloc
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from conftest import QUICK_COSTS, bounce, make_app
from live import TIMEOUT, Live, serving

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
    """A database with a list of 22 MB: more than all buffers on the way."""
    url = f"sqlite:///{tmp_path_factory.mktemp('long') / 'b.sqlite3'}?synchronous=off"
    with closing(open_storage(url)) as storage:
        hashed = Authenticator(storage, QUICK_COSTS).hash_key("s3cret")
        acme = storage.accounts.add("acme", **hashed)
        rows = (bounce(f"{n}@x", created=n, reason="x" * 1_000) for n in range(ROWS))
        storage.bounces.put(acme.bounce_list, rows)
    return url


def _ask(live: Live) -> socket.socket:
    """Ask for the long list, and read its beginning only."""
    client = socket.create_connection(live.address, TIMEOUT)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.sendall(f"GET {TARGET} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert client.recv(15) == b"HTTP/1.1 200 OK"
    return client


@pytest.mark.parametrize("suffix", ["json", "xml"])
def test_a_long_list_is_never_held_whole(long_url: str, suffix: str) -> None:
    """Neither its rows nor its bytes: 22 MB pass through less than 6."""
    app = make_app(long_url, Clock())
    target = TARGET.replace(".json", f".{suffix}")
    with closing(app.extensions[EXTENSION].storage):
        app.test_client().get(target.replace("date=1", "limit=1"))
        tracemalloc.start()
        answer = app.test_client().get(target, buffered=False)
        size = sum(map(len, answer.response))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert size > ROWS * 1_000
    assert peak < 6_000_000


def test_slow_readers_do_not_stop_the_others(long_url: str) -> None:
    """Eight of them, one worker: calls are answered and changes are made."""
    with (
        serving("--database", long_url, "--workers", "1") as live,
        ExitStack() as stack,
    ):
        for _ in range(8):
            stack.enter_context(closing(_ask(live)))

        begun = time.monotonic()
        for n in range(20):
            found = live.get(f"/api/bounces.get.json?{CREDENTIALS}&email={n}@x")
            assert len(json.loads(found)) == 1
            gone = f"/api/bounces.delete.json?{CREDENTIALS}&email=none{n}@x"
            assert live.get(gone) == '{"message": "Email does not exist"}'
        assert time.monotonic() - begun < TIMEOUT / 2


def test_client_that_stops_reading_is_disconnected(long_url: str) -> None:
    """More clients do so than the server has threads; each time, others are answered."""
    arguments = ("--workers", "1", "--threads", "2", "--timeout", "1")
    with serving("--database", long_url, *arguments) as live, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(closing(_ask(live)))
            stack.enter_context(closing(_ask(live)))
            count = live.get(f"/api/bounces.count.json?{CREDENTIALS}")
            assert count == f'{{"count": "{ROWS}"}}'


def test_who_hangs_up_leaves_nothing_behind(long_url: str) -> None:
    """Amid a list, a hundred times; no lock is held, and the log can be emptied."""
    file = long_url.removeprefix("sqlite:///").partition("?")[0]
    with serving("--database", long_url, "--workers", "1", "--threads", "4") as live:
        for _ in range(100):
            _ask(live).close()
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
            )

    assert (busy, left) == (0, 0)
