"""Workers: turns of long bodies on their threads, pending connections, their start."""

import errno
import socket
from collections import deque
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from gunicorn.arbiter import Arbiter

from sendgrid_bounces.server import gunicorn_app
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
    """Many connections of a slow client do not delay other clients."""
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
    turns.max_uploads = 3
    turns.arrive("slow")
    turns._give_turns()
    now = 110.0
    turns.turns.append(("other", 3.0))
    for host in ("slow", "other"):
        turns.arrive(host)
    turns._give_turns()
    assert turns.order == ["slow", "other"]


def test_client_leaves_a_turn_to_other_clients(turns: Turns) -> None:
    """One slow client with many long bodies does not keep out all others."""
    turns.max_uploads = 3
    for _ in range(5):
        turns.arrive("slow")
    turns._give_turns()
    assert turns.order == ["slow"] * 2
    turns.turns.append(("other", 60.0))
    turns.arrive("other")
    turns._give_turns()
    assert turns.order == ["slow", "slow", "other"]
    turns.end_turn(0.1)
    assert turns.order == ["slow", "slow", "other"]


def test_client_with_most_connections_loses_one(turns: Turns) -> None:
    """A flood of one address does not close the connections of other addresses."""
    began = {"good": (1,), "flood": (3, 2, 4), "other": (5, 6)}
    for host, times in began.items():
        for instant in times:
            turns.arrive(host)
            turns.pending_conns[-1].arrival = SimpleNamespace(began=instant)
    lost = turns._surplus()
    assert (lost.host, lost.arrival.began) == ("flood", 2)


def test_closed_connection_has_no_turn(turns: Turns) -> None:
    turns.arrive("gone")
    turns.upload_queue[0].sock.fileno = lambda: -1
    turns._give_turns()
    assert turns.order == turns.upload_queue == []


@pytest.mark.parametrize(
    ("busy", "has_left", "has_turn", "is_abandoned"),
    [
        (5, True, False, True),
        (5, False, False, False),
        (5, True, True, False),
        (4, True, False, False),
    ],
)
def test_requests_of_clients_that_have_left_delay_no_other(
    turns: Turns, busy: int, has_left: bool, has_turn: bool, is_abandoned: bool
) -> None:
    """Only while many wait: a client can also end its sending, and read the response."""
    turns.cfg, turns.busy = SimpleNamespace(threads=2), busy
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        if has_left:
            theirs.shutdown(socket.SHUT_WR)
        conn = SimpleNamespace(sock=ours, has_turn=has_turn)
        assert turns._is_abandoned(conn) is is_abandoned


def test_server_goes_on_if_no_process_can_be_started(monkeypatch) -> None:
    """The other workers keep answering, and the next attempt may succeed."""
    monkeypatch.setattr(gunicorn_app, "RETRY_SECONDS", 0)
    failing = Mock(side_effect=[BlockingIOError(errno.EAGAIN, "try again"), 7])
    monkeypatch.setattr(Arbiter, "spawn_worker", failing)
    arbiter = gunicorn_app._Arbiter.__new__(gunicorn_app._Arbiter)
    arbiter.log = Mock()
    assert [arbiter.spawn_worker(), arbiter.spawn_worker()] == [None, 7]
    assert "try again" in str(arbiter.log.error.call_args)
