"""Turns of long bodies on the threads of a worker."""

from collections import deque
from types import SimpleNamespace

import pytest

from sendgrid_bounces.server import worker as module
from sendgrid_bounces.server.worker import Worker


class Turns(Worker):
    """A worker with a place for one long body, and without sockets and threads."""

    def __init__(self) -> None:
        self.max_uploads = 1
        self.uploads: list[SimpleNamespace] = []
        self.upload_queue: list[SimpleNamespace] = []
        self.pending_conns: list[SimpleNamespace] = []
        self.turns: deque[tuple[str, float]] = deque(maxlen=module.REMEMBERED_TURNS)
        self.order: list[str] = []

    def enqueue_req(self, conn: SimpleNamespace) -> None:
        self.order.append(conn.host)

    def arrive(self, host: str) -> None:
        sock = SimpleNamespace(fileno=lambda: 3, begin_turn=lambda: None)
        conn = SimpleNamespace(host=host, sock=sock, has_turn=False)
        self.upload_queue.append(conn)
        self.pending_conns.append(conn)

    def end_turn(self, seconds: float) -> None:
        conn = self.uploads.pop()
        self.turns.append((conn.host, seconds))
        self._give_turns()


@pytest.fixture(name="turns")
def _turns() -> Turns:
    return Turns()


def test_client_with_the_least_time_is_next(turns: Turns) -> None:
    """Many connections of a slow client do not delay the others."""
    for host in ("slow", "slow", "slow", "quick", "quick", "other"):
        turns.arrive(host)
    turns._give_turns()
    for seconds in (5.0, 0.1, 0.1, 0.1, 5.0):
        turns.end_turn(seconds)
    assert turns.order == ["slow", "quick", "other", "quick", "slow", "slow"]
    assert turns.upload_queue == turns.pending_conns == []


def test_time_of_present_turns_counts(turns: Turns, monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    turns.max_uploads = 2
    for host in ("slow", "slow", "other"):
        turns.arrive(host)
    turns.turns.append(("other", 3.0))
    turns._give_turns()
    assert turns.order == ["slow", "slow"]
    now = 110.0
    turns.arrive("slow")
    turns.uploads.pop()
    turns._give_turns()
    assert turns.order == ["slow", "slow", "other"]


def test_closed_connection_has_no_turn(turns: Turns) -> None:
    turns.arrive("gone")
    turns.upload_queue[0].sock.fileno = lambda: -1
    turns._give_turns()
    assert turns.order == turns.upload_queue == []
