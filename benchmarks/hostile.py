"""Good calls beside slow, silent and wrong clients: the measures of a siege.

Each good call uses a new connection, which a server without a free thread would leave
waiting.
"""

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import clients
import data
import trustme
from clients import get
from measures import CREDENTIALS, Bench, Row
from servers import Server

#: Milliseconds that a good call may take, and the first call with a right key, which
#: computes a slow hash.
REMEMBERED, FIRST_LOGIN = 50, 1_000

CALL = get(f"/api/bounces.get.json?{CREDENTIALS}&date=1&email={data.email(1)}")
CALLS = 100

#: The beginning of a request whose body does not arrive.
STALLED = clients.post("/api/bounces.count.json", b"").replace(b"gth: 0", b"gth: 99999")

UPLOAD = STALLED.replace(b"99999", b"900000") + b"a" * 100_000

#: First logins in a round, each of an account that was not used before.
LOGINS = 8

#: Pairs of refused logins in a round, and the ratio of their times that is still equal.
REFUSALS, SAME = 20, 1.15

#: Clients with wrong keys, and the pause in seconds of each after a response.
GUESSERS, PAUSE = 64, 0.1


def silent(bench: Bench) -> Iterator[Row]:
    """Open 500 connections that send nothing."""
    yield from _beside(bench, "500 silent connections", partial(_open, 500, b""))


def kept(bench: Bench) -> Iterator[Row]:
    """Open 500 connections that have sent one request each."""
    yield from _beside(bench, "500 idle kept connections", partial(_open, 500, CALL))


def heads(bench: Bench) -> Iterator[Row]:
    """Open 40 connections that send one byte a second."""
    yield from _beside(bench, "40 clients that send a byte a second", _trickle)


def stalled(bench: Bench) -> Iterator[Row]:
    """Keep 28 of the 32 threads waiting for a body."""
    yield from _beside(bench, "28 of 32 threads stalled", partial(_open, 28, STALLED))


def uploads(bench: Bench) -> Iterator[Row]:
    """Send the beginnings of 100 long bodies: there are 32 threads."""
    load = partial(_open, 100, UPLOAD)
    yield from _beside(bench, "100 stalled bodies of 900 KB", load)


def handshakes(bench: Bench) -> Iterator[Row]:
    """Open 64 connections over TLS whose handshake stops after its first bytes."""
    hello = bytes.fromhex("16030101000100")
    with TemporaryDirectory() as folder:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        key = Path(folder, "key.pem")
        issued.private_key_and_cert_chain_pem.write_to_path(str(key))
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with bench.serve(SSL_CERT=str(key), SSL_KEY=str(key)) as server:
            call = partial(_call_over_tls, server.port, context)
            yield from _measure(
                bench,
                server,
                "64 half-open TLS handshakes",
                partial(_open, 64, hello),
                call,
            )


def wrong_keys(bench: Bench) -> Iterator[Row]:
    """Send wrong keys from 64 connections, ten keys a second on each."""
    logins, alone = [], []
    numbers = itertools.count()
    with bench.serve() as server:
        call = partial(_call, server.port)
        for _ in range(40):  # so that each worker has verified the key
            call()
        remembered = []
        for _ in range(bench.rounds):
            alone.append(_percentile(call))
            with clients.background(partial(_guess, server.port)):
                time.sleep(3)  # the first keys of a client wait for each other
                remembered.append(_percentile(call))
                for _ in range(LOGINS):
                    name = f"small{next(numbers) % data.SMALL_LISTS}"
                    count = f"/api/bounces.count.json?api_user={name}&api_key={name}"
                    logins.append(clients.timed(_call, server.port, get(count)) * 1_000)
    beside = f"beside {GUESSERS} clients with wrong keys, p99"
    notes = {"alone": median(alone)}
    yield Row(f"a good call {beside}", "", "ms", remembered, REMEMBERED, notes=notes)
    yield Row(f"a first login {beside}", "", "ms", _slowest(logins), FIRST_LOGIN)


def refusals(bench: Bench) -> Iterator[Row]:
    """Time wrong keys and unknown users in turns, each from another address."""
    figures = []
    numbers = itertools.count()
    with bench.serve() as server:

        def refuse(name: str) -> float:
            number = next(numbers)
            query = f"api_user={name}{number % data.SMALL_LISTS}&api_key=wrong{number}"
            request = get(f"/api/bounces.count.json?{query}")
            address = f"127.1.{number // 250 % 250}.{number % 250 + 1}"
            with _from_elsewhere(server.port, address) as connection:
                return clients.timed(clients.answer_to, connection, request)

        for _ in range(20):  # so that each worker has a hash to compare
            refuse("unknown")
        for _ in range(bench.rounds):
            pairs = [(refuse("small"), refuse("unknown")) for _ in range(REFUSALS)]
            wrong, unknown = map(median, zip(*pairs, strict=True))
            figures.append(max(wrong / unknown, unknown / wrong))
    measure = "a wrong key and an unknown user, ratio of the times"
    yield Row(measure, "", "x", figures, SAME)


#: The measures by their names for ``--only``.
MEASURES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "silent": silent,
    "kept": kept,
    "byte-a-second": heads,
    "stalled": stalled,
    "uploads": uploads,
    "handshakes": handshakes,
    "wrong-keys": wrong_keys,
    "refusals": refusals,
}

Load = Callable[[int, Event], None]


def _beside(bench: Bench, name: str, load: Load) -> Iterator[Row]:
    with bench.serve() as server:
        yield from _measure(bench, server, name, load, partial(_call, server.port))


def _measure(
    bench: Bench, server: Server, name: str, load: Load, call: Callable[[], None]
) -> Iterator[Row]:
    """Measure good calls without and with *load*, in turns."""
    for _ in range(40):  # so that each worker has verified the key
        call()
    alone, beside = [], []
    for _ in range(bench.rounds):
        alone.append(_percentile(call))
        with clients.background(partial(load, server.port)):
            time.sleep(1)
            beside.append(_percentile(call))
    notes = {"alone": median(alone)}
    measure = f"a good call beside {name}, p99"
    yield Row(measure, "", "ms", beside, REMEMBERED, notes=notes)


def _percentile(call: Callable[[], None]) -> float:
    took = [clients.timed(call) for _ in range(CALLS)]
    return clients.percentile_99(took) * 1_000


def _slowest(logins: list[float]) -> list[float]:
    """Return the slowest login of each round."""
    return [max(logins[n : n + LOGINS]) for n in range(0, len(logins), LOGINS)]


def _call(port: int, request: bytes = CALL) -> None:
    with closing(clients.connect(port)) as connection:
        clients.exchange(connection, request)


def _call_over_tls(port: int, context: ssl.SSLContext) -> None:
    with context.wrap_socket(
        clients.connect(port), server_hostname="localhost"
    ) as connection:
        clients.exchange(connection, CALL)


@contextmanager
def _connections(port: int, count: int, beginning: bytes) -> Iterator[list]:
    with ExitStack() as stack:
        opened = [stack.enter_context(clients.connect(port)) for _ in range(count)]
        for connection in opened:
            connection.sendall(beginning)
        yield opened


def _open(count: int, beginning: bytes, port: int, stop: Event) -> None:
    """Open connections that send *beginning* and then nothing."""
    with _connections(port, count, beginning):
        stop.wait()


def _trickle(port: int, stop: Event) -> None:
    """Send a byte a second on each connection, and replace those that are closed."""
    while not stop.is_set():
        with _connections(port, 40, b"") as opened, suppress(OSError):
            for number in itertools.count():
                for connection in opened:
                    connection.sendall(CALL[number : number + 1])
                if stop.wait(1):
                    return


def _guess(port: int, stop: Event) -> None:
    """Send wrong keys from another address than that of good callers."""
    numbers = itertools.count()

    def run() -> None:
        while not stop.is_set():
            with suppress(OSError), _from_elsewhere(port) as connection:
                while not stop.is_set():
                    number = next(numbers)
                    query = f"api_user=name{number % 1_000}&api_key=wrong{number}"
                    connection.sendall(get(f"/api/bounces.count.json?{query}"))
                    if not connection.recv(clients.PIECE) or stop.wait(PAUSE):
                        break

    threads = [threading.Thread(target=run) for _ in range(GUESSERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _from_elsewhere(port: int, address: str = "127.0.0.2") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), clients.TIMEOUT, (address, 0))
