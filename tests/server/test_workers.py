"""Many workers write to the same database: no write is lost, repeated or partial.

Each client records its acknowledged writes. In the end the database must contain all
of these, even if workers or the server were killed meanwhile.
"""

import base64
import http.client
import json
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from live import TIMEOUT, Live, kill, serving

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.storage.database import open_storage

pytestmark = pytest.mark.server

BATCH = 40
DOMAIN = "mg.example.com"
HEADERS = {"Authorization": "Basic " + base64.b64encode(b"api:s3cret").decode()}
CREDENTIALS = "api_user=acme&api_key=s3cret"
SEED = {
    "accounts": [
        {
            "username": "acme",
            "api_key": "s3cret",
            "domains": [{"name": DOMAIN, "list": "account"}],
        }
    ]
}


@dataclass
class Writer:
    """A client that writes its own addresses and records the acknowledged writes.

    :param present: whether each address must be on the list.
    :param unknown: groups of addresses in a last request without a response; each
        group must be stored completely or not at all.
    """

    number: int
    present: dict[str, bool] = field(default_factory=dict)
    unknown: list[list[str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    is_stopped: bool = False

    def run(self, live: Live, rounds: int) -> None:
        """Add, import, list and delete in a random order."""
        chance = random.Random(self.number)
        connection = http.client.HTTPConnection(
            live.url.removeprefix("http://"), timeout=TIMEOUT
        )
        try:
            for turn in range(rounds):
                if self.is_stopped:
                    break
                self._send(connection, chance.choice(ACTIONS), turn)
        except (OSError, http.client.HTTPException):
            pass  # the server was killed
        finally:
            connection.close()

    def _send(self, connection, action, turn: int) -> None:
        request, there, addresses = action(self, turn)
        self.unknown = [addresses]
        connection.request(*request)
        answer = connection.getresponse()
        answer.read()
        self.statuses.append(answer.status)
        if answer.status < 300:
            self.present.update(dict.fromkeys(addresses, there))
        self.unknown = []

    def _addresses(self, turn: int, count: int) -> list[str]:
        return [f"w{self.number}-{turn}-{n}@example.com" for n in range(count)]

    def add(self, turn: int):
        (address,) = self._addresses(turn, 1)
        form = f"address={address}"
        headers = {**HEADERS, "Content-Type": "application/x-www-form-urlencoded"}
        return ("POST", f"/v3/{DOMAIN}/bounces", form, headers), True, [address]

    def batch(self, turn: int):
        addresses = self._addresses(turn, BATCH)
        body = json.dumps([{"address": address} for address in addresses])
        headers = {**HEADERS, "Content-Type": "application/json"}
        return ("POST", f"/v3/{DOMAIN}/bounces", body, headers), True, addresses

    def upload(self, turn: int):
        addresses = self._addresses(turn, BATCH)
        body = (
            '--xx\r\nContent-Disposition: form-data; name="file"; filename="b.csv"\r\n'
            "\r\naddress\n" + "\n".join(addresses) + "\r\n--xx--\r\n"
        )
        headers = {**HEADERS, "Content-Type": "multipart/form-data; boundary=xx"}
        return ("POST", f"/v3/{DOMAIN}/bounces/import", body, headers), True, addresses

    def delete(self, turn: int):
        mine = [address for address, there in self.present.items() if there]
        address = mine[turn % len(mine)] if mine else f"absent{self.number}@example.com"
        target = f"/api/bounces.delete.json?{CREDENTIALS}&email={address}"
        return ("GET", target), False, [address]

    def read(self, _turn: int):
        return ("GET", f"/api/bounces.get.xml?{CREDENTIALS}&date=1"), True, []


ACTIONS = [Writer.add, Writer.batch, Writer.upload, Writer.delete, Writer.read]


@pytest.fixture(name="seed")
def _seed(tmp_path: Path) -> str:
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(SEED))
    return str(path)


def _start(writers: list[Writer], live: Live, rounds: int) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=writer.run, args=(live, rounds)) for writer in writers
    ]
    for thread in threads:
        thread.start()
    return threads


def _check(database_url: str, writers: list[Writer]) -> tuple[int, int]:
    """Return the number of acknowledged writes, and of acknowledged writes found."""
    with closing(open_storage(database_url)) as storage:
        bounce_list = storage.accounts.get("acme").bounce_list
        batches = storage.bounces.find(bounce_list, BounceQuery())
        stored = [row[0] for rows in batches for row in rows]
    assert len(stored) == len(set(stored))
    left = set(stored)
    acknowledged = found = 0
    for writer in writers:
        for group in writer.unknown:
            assert len(left.intersection(group)) in (0, len(group)), "half a batch"
        unknown = {address for group in writer.unknown for address in group}
        for address, there in writer.present.items():
            if address not in unknown:
                acknowledged += 1
                found += (address in left) == there
        left -= unknown | writer.present.keys()
    assert not left, "stored but never sent"
    return acknowledged, found


def _assert_nothing_is_lost(database_url: str, writers: list[Writer]) -> None:
    """Assert that no request failed and that all acknowledged writes are stored."""
    assert {status for writer in writers for status in writer.statuses} <= {200, 202}
    acknowledged, found = _check(database_url, writers)
    print(f"acknowledged: {acknowledged}, lost: {acknowledged - found}")
    assert acknowledged == found


def test_concurrent_requests_lose_no_write(database_url, seed) -> None:
    """Four workers serve eight clients without a server error."""
    writers = [Writer(number) for number in range(8)]
    with serving("--database", database_url, "--seed", seed, "--workers", "4") as live:
        for thread in _start(writers, live, rounds=40):
            thread.join(120)
            assert not thread.is_alive()

    _assert_nothing_is_lost(database_url, writers)


def test_killed_workers_lose_no_acknowledged_write(database_url, seed) -> None:
    """Each worker in turn gets SIGKILL; the server replaces the workers."""
    writers = [Writer(number) for number in range(8)]
    with serving("--database", database_url, "--seed", seed, "--workers", "4") as live:
        threads = _start(writers, live, rounds=10_000)
        for worker in live.workers():
            answered = sum(len(writer.statuses) for writer in writers)
            deadline = time.monotonic() + TIMEOUT
            while (
                any(thread.is_alive() for thread in threads)
                and sum(len(writer.statuses) for writer in writers) < answered + 40
            ):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            os.kill(worker, signal.SIGKILL)
        for writer in writers:  # one can have connected to a new worker
            writer.is_stopped = True
        for thread in threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()
        assert '{"count"' in live.get(f"/api/bounces.count.json?{CREDENTIALS}")

    _assert_nothing_is_lost(database_url, writers)


def test_killed_server_loses_no_acknowledged_write(database_url, seed) -> None:
    """All processes get SIGKILL; a new server continues with the database."""
    writers = [Writer(number) for number in range(8)]
    arguments = ("--database", database_url, "--seed", seed, "--workers", "4")
    with serving(*arguments) as live:
        threads = _start(writers, live, rounds=10_000)
        deadline = time.monotonic() + TIMEOUT
        while sum(len(writer.statuses) for writer in writers) < 150:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        kill(live.process)
        for thread in threads:
            thread.join(TIMEOUT)

    with serving(*arguments) as live:
        _assert_nothing_is_lost(database_url, writers)
        assert '{"count"' in live.get(f"/api/bounces.count.json?{CREDENTIALS}")


def test_reload_drops_no_request(database_url, seed) -> None:
    """SIGHUP replaces all workers; each call uses a connection of its own."""
    answers: list[str] = []
    done = threading.Event()

    def call(live: Live) -> None:
        while not done.is_set():
            answers.append(live.get(f"/api/bounces.count.json?{CREDENTIALS}"))

    with serving("--database", database_url, "--seed", seed) as live:
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(call, live) for _ in range(4)]
            try:
                for _ in range(2):
                    _reload(live, answers)
            finally:
                done.set()
        for each in calls:
            each.result()
    assert {*answers} == {'{"count": "0"}'}


def _reload(live: Live, answers: list[str]) -> None:
    """Reload the server, and wait until new workers have answered some calls."""
    old, deadline = {*live.workers()}, time.monotonic() + TIMEOUT
    os.kill(live.process.pid, signal.SIGHUP)
    while not old.isdisjoint(live.workers()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    answered = len(answers)
    while len(answers) < answered + 20:
        assert time.monotonic() < deadline
        time.sleep(0.05)
