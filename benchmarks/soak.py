"""Many mixed requests to four workers: memory, open files and errors."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

import clients
import data
from clients import get, post
from measures import BASIC, CREDENTIALS, V3, Bench, Row, copied
from servers import MEGABYTE, Server

WORKERS = PROCESSES = 4

#: Threads of each worker. A thread opens files and fills its cache when it first has a
#: request of some kind; with few threads, the warm-up includes that of all.
THREADS = 4

#: Connections of each process, and requests of one connection. New connections replace
#: them, since the workers do not get equally many.
CONNECTIONS = 24
REQUESTS_OF_ONE = 20

#: Requests before the memory is read for the first time, as a part of all.
WARM_UP = 0.2

FORM = "Content-Type: application/x-www-form-urlencoded"
BEARER = f"Authorization: Bearer {data.KEY}"


def soak(bench: Bench) -> Iterator[Row]:
    """Send a fifth as many requests as the list has rows, to a copy of the database."""
    with copied(bench) as copy:
        yield from _soak(copy)


def soak_on_mariadb(bench: Bench) -> Iterator[Row]:
    """Send them to the MariaDB database, whose large list keeps its rows."""
    if bench.mysql_url:
        for row in _soak(replace(bench, url=bench.mysql_url)):
            yield replace(row, measure=f"MariaDB: {row.measure}")


#: The measures by their names for ``--only``.
MEASURES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "soak": soak,
    "mariadb-soak": soak_on_mariadb,
}


def _soak(bench: Bench) -> Iterator[Row]:
    total = bench.rows // 5
    first = int(total * WARM_UP)
    flags = (f"--workers={WORKERS}", f"--threads={THREADS}")
    with bench.serve(*flags, CONTROL="on") as server:
        statuses = _send(server, bench, first)
        memory, files = server.resident(), _open_files(server)
        statuses += _send(server, bench, total - first)
        grown = max(now - memory[pid] for pid, now in server.resident().items())
        opened = max(now - files[pid] for pid, now in _open_files(server).items())
    errors = sum(n for status, n in statuses.items() if status >= 500)
    measure = f"{total:,} mixed requests, {WORKERS} workers"
    notes = {str(status): float(n) for status, n in sorted(statuses.items())}
    yield Row(f"{measure}: answers with 5xx", "", "", [errors], 0, notes=notes)
    yield Row(f"{measure}: a worker's memory grows", "", "MB", [grown / MEGABYTE], 8)
    yield Row(f"{measure}: a worker's open files grow", "", "", [opened], 8)


def _open_files(server: Server) -> dict[int, int]:
    """Return the number of open files by worker process."""
    return {pid: len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in server.workers()}


def _send(server: Server, bench: Bench, count: int) -> Counter[int]:
    """Send *count* requests from several processes; return the statuses."""
    counted = clients.FORK.Array("l", 600)
    share = count // (PROCESSES * CONNECTIONS)
    seeds = clients.FORK.Value("i", count)

    def send() -> None:
        with seeds.get_lock():
            seeds.value += 1
            chance = random.Random(seeds.value)
        for start in range(0, share, REQUESTS_OF_ONE):
            with closing(clients.connect(server.port)) as connection:
                for _ in range(min(REQUESTS_OF_ONE, share - start)):
                    request = chance.choice(_CALLS)(chance, bench)
                    status = int(clients.answer_to(connection, request)[9:12])
                    with counted.get_lock():
                        counted[status] += 1

    def run(_stop: Event) -> None:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            sent = [pool.submit(send) for _ in range(CONNECTIONS)]
        for each in sent:
            each.result()

    with clients.background(run, PROCESSES) as ended:
        ended.wait()
    return Counter({status: n for status, n in enumerate(counted) if n})


def _address(chance: random.Random, bench: Bench) -> str:
    return data.email(chance.randrange(bench.rows))


def _sendgrid(template: str, chance: random.Random, bench: Bench) -> bytes:
    return get(f"/api/{template.format(_address(chance, bench))}&{CREDENTIALS}")


def _add(chance: random.Random, _bench: Bench) -> bytes:
    body = f"address=soak{chance.randrange(2_000)}@a.example&error=full".encode()
    return post(V3, body, BASIC, FORM)


def _remove(chance: random.Random, _bench: Bench) -> bytes:
    target = f"{V3}/soak{chance.randrange(2_000)}%40a.example"
    return get(target, BASIC).replace(b"GET", b"DELETE", 1)


def _v3(chance: random.Random, bench: Bench) -> bytes:
    return get(f"/v3/suppression/bounces/{_address(chance, bench)}", BEARER)


def _wrong_key(chance: random.Random, _bench: Bench) -> bytes:
    name = f"small{chance.randrange(9)}"
    return get(f"/api/bounces.count.json?api_user={name}&api_key=wrong")


def _plain(target: str, _chance: random.Random, _bench: Bench) -> bytes:
    return get(target, BASIC)


#: The requests, each equally often.
_CALLS: list[Callable[[random.Random, Bench], bytes]] = [
    partial(_sendgrid, "bounces.get.json?date=1&email={}"),
    partial(_sendgrid, "bounces.get.xml?date=1&email={}"),
    partial(_sendgrid, "bounces.get.xml?limit=50"),
    partial(_sendgrid, "bounces.count.json?start_date=2011-06-01&end_date=2011-06-30"),
    partial(_sendgrid, "bounces.get.json?days=none"),  # refused
    partial(_sendgrid, "bounces.delete.json?email=none{}"),
    _add,
    _remove,
    _v3,
    _wrong_key,
    partial(_plain, f"{V3}?limit=25"),
    partial(_plain, "/v3/unknown"),
    partial(_plain, "/_emulator/requests?limit=5"),
    partial(_plain, "/_emulator/health"),
]
