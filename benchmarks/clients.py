"""Clients with little overhead, which measure the time of raw requests."""

import multiprocessing
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from statistics import quantiles
from typing import Any

PIECE = 1024 * 1024
TIMEOUT = 60
CLIENTS = 8

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)

#: Background load runs in other processes, so that the measuring process is not slower.
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Download:
    """The times of a long response in seconds, and its size in bytes."""

    seconds: float
    first_byte: float
    size: int


def get(target: str, *headers: str) -> bytes:
    """Return a request without a body."""
    lines = [f"GET {target} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode()


def post(target: str, body: bytes, *headers: str) -> bytes:
    """Return a request with a body."""
    head = get(target, *headers, f"Content-Length: {len(body)}")
    return head.replace(b"GET ", b"POST ", 1) + body


def connect(port: int) -> socket.socket:
    """Return a connection to a server on this machine."""
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def download(port: int, request: bytes) -> Download:
    """Read a response until the server closes the connection, and discard it."""
    buffer = bytearray(PIECE)
    with closing(connect(port)) as connection:
        begun = time.perf_counter()
        connection.sendall(
            request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        size = connection.recv_into(buffer)
        first_byte = time.perf_counter() - begun
        if not buffer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"unexpected response: {bytes(buffer[:200])!r}")
        while count := connection.recv_into(buffer):
            size += count
        return Download(time.perf_counter() - begun, first_byte, size)


def exchange(connection: socket.socket, request: bytes) -> bytes:
    """Send a request on an open connection and return the whole successful response."""
    answer = answer_to(connection, request)
    if not answer.startswith(b"HTTP/1.1 2"):
        raise SystemExit(f"unexpected response: {answer[:200]!r}")
    return answer


def answer_to(connection: socket.socket, request: bytes) -> bytes:
    """Send a request on an open connection and return the whole response."""
    connection.sendall(request)
    answer = connection.recv(PIECE)
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        raise SystemExit(f"unexpected response: {answer[:200]!r}")
    length = _LENGTH.search(answer)
    if length is None:
        raise SystemExit(f"a response without Content-Length: {answer[:200]!r}")
    size = head + 4 + int(length[1])
    while len(answer) < size:
        piece = connection.recv(PIECE)
        if not piece:
            raise SystemExit("a response ended early")
        answer += piece
    return answer


def timed(action: Callable[..., object], *arguments: Any, **options: Any) -> float:
    """Return the seconds that a call of *action* takes."""
    begun = time.perf_counter()
    action(*arguments, **options)
    return time.perf_counter() - begun


def seconds(port: int, request: bytes, count: int) -> list[float]:
    """Return the seconds of each of *count* consecutive requests."""
    with closing(connect(port)) as connection:
        exchange(connection, request)
        return [timed(exchange, connection, request) for _ in range(count)]


def latencies(port: int, request: bytes, during: Callable[[], bool]) -> list[float]:
    """Return the seconds of consecutive requests, made while *during* is true."""
    took = []
    with closing(connect(port)) as connection:
        exchange(connection, request)
        while during() or len(took) < 2:  # a percentile needs two
            took.append(timed(exchange, connection, request))
    return took


def rate(port: int, request: bytes, duration: float, *, fresh: bool = False) -> float:
    """Return the number of responses per second to several clients.

    :param fresh: whether each request uses a new connection.
    """
    counts: list[int] = []
    end = time.perf_counter() + duration

    def is_on() -> bool:
        return time.perf_counter() < end

    def run() -> None:
        if not fresh:
            counts.append(len(latencies(port, request, is_on)))
            return
        count = 0
        while is_on():
            with closing(connect(port)) as connection:
                exchange(connection, request)
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(counts) < CLIENTS:
        raise SystemExit("a client failed")
    return sum(counts) / (time.perf_counter() - begun)


def percentile_99(took: list[float]) -> float:
    """Return the 99th percentile."""
    return quantiles(took, n=100, method="inclusive")[98]


@contextmanager
def background(action: Callable[[Event], None], count: int = 1) -> Iterator[Event]:
    """Run *action* in *count* processes; yield an event that is set when all ended."""
    stop, ended = FORK.Event(), FORK.Event()
    left = FORK.Value("i", count)

    def run() -> None:
        try:
            action(stop)
        finally:
            with left.get_lock():
                left.value -= 1
                if not left.value:
                    ended.set()

    processes = [FORK.Process(target=run, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield ended
    finally:
        stop.set()
        for process in processes:
            process.join(TIMEOUT)
    if any(process.exitcode for process in processes):
        raise SystemExit("a client in the background failed")


def read_slowly(port: int, request: bytes, stop: Event, piece: int = 16_384) -> None:
    """Read a long response in small pieces until *stop* is set."""
    with closing(connect(port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, piece)
        connection.sendall(request)
        while not stop.wait(0.1) and connection.recv(piece):
            pass
