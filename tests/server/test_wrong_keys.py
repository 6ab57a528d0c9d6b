"""Floods of wrong keys: they do not delay callers with the right key."""

import itertools
import json
import socket
import threading
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from live import TIMEOUT, Live, named, serving

pytestmark = pytest.mark.server

CLIENTS = 64


@contextmanager
def _guessing(live: Live) -> Iterator[list[bytes]]:
    """Send wrong keys from many connections; yield the statuses of the responses."""
    ended, numbers, statuses = threading.Event(), itertools.count(), []

    def guess() -> None:
        while not ended.is_set():
            with suppress(OSError), _connection(live) as connection:
                while not ended.is_set():
                    number = next(numbers)
                    query = f"api_user=name{number % 1_000}&api_key=wrong{number}"
                    head = f"GET /api/bounces.count.json?{query} HTTP/1.1\r\nHost: x"
                    connection.sendall(f"{head}\r\n\r\n".encode())
                    answer = connection.recv(4_096)
                    statuses.append(answer[9:12])
                    while not answer.endswith(b"}"):
                        answer = connection.recv(4_096)

    threads = [threading.Thread(target=guess) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TIMEOUT
    try:
        while statuses.count(b"403") < 10 and time.monotonic() < deadline:
            time.sleep(0.1)
        yield statuses
    finally:
        ended.set()
        for thread in threads:
            thread.join(TIMEOUT)


def _connection(live: Live) -> socket.socket:
    """Return a connection from another address than that of good callers."""
    return socket.create_connection(live.address, TIMEOUT, ("127.0.0.2", 0))


def test_wrong_keys_delay_neither_cached_callers_nor_a_first_login(
    url: str, tmp_path: Path
) -> None:
    """Few threads wait for hashes; the other requests are refused at once."""
    accounts = [{"username": n, "api_key": "s3cret"} for n in ("acme", "new")]
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps({"accounts": accounts}))
    count = "/api/bounces.count.json?api_key=s3cret&api_user="
    variables = named(KEY_HASH="scrypt")
    flags = ("--database", url, "--seed", str(seed), "--workers", "1")
    with serving(*flags, **variables) as live:
        live.get(f"{count}acme")
        with _guessing(live) as statuses:
            took = []
            for name in ["acme"] * 30 + ["new"]:
                began = time.monotonic()
                assert live.get(count + name)
                took.append(time.monotonic() - began)
        assert {*statuses} == {b"403", b"429"}
    assert max(took[:-1]) < 1
    assert took[-1] < 5


def test_guesses_for_one_name_are_refused(url: str) -> None:
    """The status becomes 429."""
    with serving("--database", url, "--workers", "1") as live:
        statuses = []
        for number in range(30):
            query = f"api_user=acme&api_key=wrong{number}"
            with pytest.raises(urllib.error.HTTPError) as raised:
                live.get(f"/api/bounces.count.json?{query}")
            with raised.value as response:
                statuses.append(response.code)
    assert statuses == [403] * 20 + [429] * 10
