"""Threads that wait for clients, and the clients that are disconnected."""

import socket
import threading
from contextlib import ExitStack
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from sendgrid_bounces.server import arrival, sockets
from sendgrid_bounces.server.arrival import Arrival
from sendgrid_bounces.server.sockets import ClientWaits, IdleTimeoutSocket


@pytest.fixture
def pair():
    """A socket of the server, and the client's."""
    with ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(theirs)
        yield stack.enter_context(IdleTimeoutSocket(fileno=ours.detach())), theirs


@pytest.mark.parametrize(
    ("seconds", "is_overdue"), [(-2 * sockets.GRACE, True), (60, False)]
)
def test_client_of_an_overdue_wait_is_disconnected(pair, seconds, is_overdue) -> None:
    client, other = pair
    waits = ClientWaits(idle_timeout=30)
    with waits.waiting(client, socket.SHUT_RDWR, seconds):
        waits.disconnect_overdue()
    other.settimeout(0)
    try:
        assert (other.recv(1) == b"") is is_overdue
    except BlockingIOError:
        assert not is_overdue
    assert client.is_stalled is is_overdue


def test_client_of_a_wait_that_has_ended_is_kept(pair) -> None:
    client, _ = pair
    waits = ClientWaits(idle_timeout=30)
    with waits.waiting(client, socket.SHUT_RDWR, -2 * sockets.GRACE):
        pass
    waits.disconnect_overdue()
    assert not client.is_stalled


@pytest.mark.parametrize(("earlier", "is_slow"), [(0, False), (1, True)])
def test_client_that_receives_a_response_slowly_is_disconnected(
    pair, earlier: int, is_slow: bool
) -> None:
    """Each piece can be quick, and the response take minutes."""
    client, _ = pair
    waits = ClientWaits(idle_timeout=30)
    with waits.waiting(client, socket.SHUT_RDWR, 30, earlier * sockets.GRACE):
        waits.disconnect()
    assert client.is_stalled is is_slow


def test_client_at_the_address_with_most_waits_is_the_first() -> None:
    """It may have kept its threads waiting for a shorter time."""
    waits = ClientWaits(idle_timeout=30)
    clients = [IdleTimeoutSocket() for _ in range(5)]
    with ExitStack() as stack:
        for seconds, client in zip((9, 2, 4, 3, 8), clients, strict=True):
            stack.enter_context(client)
            client.host = "192.0.2.1" if seconds < 5 else f"192.0.2.{seconds}"
            how, earlier = socket.SHUT_RDWR, seconds * sockets.GRACE
            stack.enter_context(waits.waiting(client, how, 30, earlier))
        waits.disconnect(kept=3)
        assert [c.is_stalled for c in clients] == [False, False, True, True, False]
        waits.disconnect(kept=1)
        assert [c.is_stalled for c in clients] == [True, True, True, True, False]


def test_waits_for_the_pieces_of_a_response_are_added(pair, monkeypatch) -> None:
    client, other = pair
    clock = iter(range(100))
    monkeypatch.setattr(sockets.time, "monotonic", lambda: next(clock))
    client.limit(ClientWaits(idle_timeout=30))
    client.setblocking(True)
    thread = threading.Thread(target=client.sendall, args=[bytes(3 * sockets.PIECE)])
    thread.start()
    with other.makefile("rb") as file:
        assert len(file.read(3 * sockets.PIECE)) == 3 * sockets.PIECE
    thread.join()
    assert client.send_seconds >= 3
    client.limit(client.waits)
    assert client.send_seconds == 0


@pytest.mark.parametrize("is_ssl", [False, True])
def test_socket_knows_the_address_of_the_client(pair, monkeypatch, is_ssl) -> None:
    """TLS wraps the socket in another one."""

    def wrap(sock: IdleTimeoutSocket, _cfg: object) -> IdleTimeoutSocket:
        return IdleTimeoutSocket(fileno=sock.detach())

    monkeypatch.setattr(arrival, "ssl_wrap_socket", wrap)
    unreader = SimpleNamespace(take_buffered=Mock(side_effect=BlockingIOError))
    conn = SimpleNamespace(
        sock=pair[0],
        host="192.0.2.1",
        cfg=SimpleNamespace(is_ssl=is_ssl),
        parser=SimpleNamespace(unreader=unreader),
    )
    assert not Arrival(conn, ClientWaits(idle_timeout=30)).receive()
    with conn.sock:
        assert conn.sock.host == "192.0.2.1"


def test_no_thread_waits_after_the_end(pair) -> None:
    """A worker that ends would wait for its threads."""
    client, _ = pair
    waits = ClientWaits(idle_timeout=30)
    client.limit(waits)
    client.setblocking(True)
    errors: list[OSError] = []

    def receive() -> None:
        for _ in range(2):
            with pytest.raises(TimeoutError) as raised:
                client.recv(1)
            errors.append(raised.value)

    thread = threading.Thread(target=receive)
    thread.start()
    while not errors:
        waits.end()
        thread.join(0.01)
    thread.join()
    assert len(errors) == 2


def test_receiving_ends_although_more_records_without_data_arrive(
    pair, monkeypatch
) -> None:
    """OpenSSL reads them in one call, which no timeout of a socket ends."""
    monkeypatch.setattr(arrival, "GRACE", 0)
    monkeypatch.setattr(sockets, "GRACE", 0.01)

    def read_records(client: IdleTimeoutSocket, _size: int) -> bytes:
        pause = threading.Event()
        for _ in range(5_000):
            if client.is_stalled:
                raise ConnectionResetError
            pause.wait(0.001)
        raise AssertionError("not disconnected")

    monkeypatch.setattr(IdleTimeoutSocket, "recv", read_records)
    unreader = SimpleNamespace(take_buffered=lambda: b"")
    conn = SimpleNamespace(
        sock=pair[0],
        host="",
        cfg=SimpleNamespace(is_ssl=False),
        parser=SimpleNamespace(unreader=unreader),
    )
    waits = ClientWaits(idle_timeout=30)
    arriving, errors = Arrival(conn, waits), list[Exception]()

    def receive() -> None:
        try:
            arriving.receive()
        except ConnectionResetError as error:
            errors.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    while thread.is_alive():
        waits.disconnect_overdue()
        thread.join(0.01)
    conn.sock.close()
    assert len(errors) == 1
