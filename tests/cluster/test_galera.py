"""A Galera cluster of three nodes; a node is killed during writes.

``pytest -s -m cluster`` prints the figures. The tests need the Debian packages
mariadb-server, galera-4 and rsync.
"""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from live import TIMEOUT, Live, serving
from nodes import Node, free_ports, need
from test_workers import CREDENTIALS, DOMAIN, HEADERS, SEED

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.storage.database import open_storage

pytestmark = [pytest.mark.cluster, pytest.mark.server]

FORM = {**HEADERS, "Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Client:
    """A client that adds its own addresses, and every fourth time a shared address."""

    name: str
    live: Live
    acknowledged: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    longest_gap: float = 0.0

    def run(self, stop: threading.Event) -> None:
        host = self.live.url.removeprefix("http://")
        number, last = 0, time.monotonic()
        with closing(http.client.HTTPConnection(host, timeout=TIMEOUT)) as connection:
            while not stop.is_set():
                number += 1
                own = f"{self.name}-{number}@example.com"
                address = "hot@example.com" if number % 4 == 0 else own
                form = f"address={address}&error={self.name}{number}"
                connection.request("POST", f"/v3/{DOMAIN}/bounces", form, FORM)
                answer = connection.getresponse()
                answer.read()
                self.statuses.append(answer.status)
                if answer.status == 200:
                    self.acknowledged.append(address)
                    self.longest_gap = max(self.longest_gap, time.monotonic() - last)
                    last = time.monotonic()
                else:
                    time.sleep(0.05)


def _stored(url: str) -> list[str]:
    with closing(open_storage(url)) as storage:
        bounce_list = storage.accounts.get("acme").bounce_list
        batches = storage.bounces.find(bounce_list, BounceQuery())
        return sorted(row[0] for rows in batches for row in rows)


@contextmanager
def _running(clients: list[Client]) -> Iterator[None]:
    """Let the clients send requests; in the end, let them finish their last requests."""
    stop = threading.Event()
    threads = [threading.Thread(target=c.run, args=(stop,)) for c in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT)


def _wait(condition) -> None:
    deadline = time.monotonic() + 2 * TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(name="nodes", scope="module")
def _nodes():
    """Three synced nodes."""
    need("mariadbd", "mariadb-install-db", "rsync", provider=True)
    base = free_ports(30)
    nodes = [Node(base + 10 * n) for n in range(3)]
    groups = tuple(node.group for node in nodes)
    try:
        for node in nodes:
            node.start(groups, first=node is nodes[0])
        yield nodes
    finally:
        for node in nodes:
            node.remove()


def _call(live: Live, target: str, body: object = None, method: str = "GET") -> Any:
    """Return the JSON response of a control endpoint."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(live.url + target, data, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
        return json.load(answer)


def _status(live: Live) -> int:
    try:
        live.get(f"/api/bounces.count.json?{CREDENTIALS}")
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def test_nodes_share_clock_rules_and_request_log(
    nodes: list[Node], tmp_path: Path
) -> None:
    """A rule triggers exactly *times* times, however requests are distributed."""
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps(SEED))
    with (
        serving("--database", nodes[0].url, "--seed", str(seed)) as one,
        serving("--database", nodes[1].url, "--seed", str(seed)) as other,
    ):
        frozen = {"action": "freeze", "instant": "2012-02-15T12:00:00Z"}
        _call(one, "/_emulator/clock", frozen, "PUT")
        assert _call(other, "/_emulator/clock")["now"] == frozen["instant"]

        _call(other, "/_emulator/faults", {"status": 502, "times": 10}, "POST")
        with ThreadPoolExecutor(8) as pool:
            statuses = Counter(pool.map(_status, [one, other] * 20))
        assert statuses == {200: 30, 502: 10}
        assert _call(one, "/_emulator/faults")["faults"][0]["fired"] == 10

        counts = [_call(n, "/_emulator/requests/count")["count"] for n in (one, other)]
        assert counts == [40, 40]

        _call(other, "/_emulator/reset", method="POST")
        assert _call(one, "/_emulator/faults")["faults"] == []
        assert _call(one, "/_emulator/requests/count") == {"count": 0}
        assert _call(one, "/_emulator/clock")["frozen"] is False


def test_killed_node_loses_no_acknowledged_write(
    nodes: list[Node], tmp_path: Path
) -> None:
    """Two emulators use different nodes; the second node is killed and restarted."""
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps(SEED))
    survivor, victim = nodes[0], nodes[1]
    with (
        serving("--database", survivor.url, "--seed", str(seed)) as safe,
        serving("--database", victim.url) as unlucky,
    ):
        clients = [
            Client(f"{name}{n}", live)
            for name, live in (("safe", safe), ("unlucky", unlucky))
            for n in range(2)
        ]
        with _running(clients):
            _wait(lambda: min(len(client.acknowledged) for client in clients) > 100)
            conflicts = sum(
                int(node.status(name))
                for node in nodes[:2]
                for name in ("wsrep_local_cert_failures", "wsrep_local_bf_aborts")
            )
            before = {status for client in clients for status in client.statuses}

            victim.kill()
            counted = len(clients[0].acknowledged)
            _wait(lambda: len(clients[0].acknowledged) > counted + 100)
            acknowledged_before = {
                address for c in clients for address in list(c.acknowledged)
            }
            on_survivors = [set(_stored(node.url)) for node in (nodes[0], nodes[2])]

            victim.start(tuple(node.group for node in nodes))
            counted = len(clients[2].acknowledged)
            _wait(lambda: len(clients[2].acknowledged) > counted + 50)
        acknowledged = {
            address for client in clients for address in client.acknowledged
        }
        stored = [_stored(node.url) for node in nodes]
        recovered = unlucky.get(f"/api/bounces.count.json?{CREDENTIALS}")

    gap = max(client.longest_gap for client in clients[:2])
    lost = [len(acknowledged - set(addresses)) for addresses in stored]
    print(
        f"acknowledged: {sum(len(c.acknowledged) for c in clients)} "
        f"({len(acknowledged)} addresses), conflicts: {conflicts}, lost: {lost}, "
        f"longest gap on the survivor: {gap:.1f} s"
    )
    assert before == {200}, "conflicts between nodes were not repeated"
    assert conflicts > 0, "the test caused no conflicts between nodes"
    assert {s for c in clients[:2] for s in c.statuses} <= {200, 503}
    assert {s for c in clients[2:] for s in c.statuses} == {200, 503}
    assert [len(acknowledged_before - seen) for seen in on_survivors] == [0, 0]
    assert lost == [0, 0, 0]
    assert stored[0] == stored[1] == stored[2]
    assert recovered == f'{{"count": "{len(stored[1])}"}}'
