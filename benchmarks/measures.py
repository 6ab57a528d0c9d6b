"""The measures: each takes turns with its baseline in the same run."""

import base64
import csv
import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import clients
import data
import instructions
import paths
import servers
import test_double
from clients import get, post
from servers import MEGABYTE, Server, serving

from sendgrid_bounces.core.bounces import classify, fold

CREDENTIALS = f"api_user={data.NAME}&api_key={data.KEY}"
BASIC = "Authorization: Basic " + base64.b64encode(f"api:{data.KEY}".encode()).decode()
V3 = f"/v3/{data.DOMAIN}/bounces"

#: The query of the command line, with the same rows in the same order.
DUMP = (
    "SELECT status, {created} AS created_at, reason, email FROM bounce "
    "WHERE bounce_list_id = 1 ORDER BY created, id"
)

#: A month in the middle of the list, for counts.
MONTH = "start_date=2011-06-01&end_date=2011-06-30"

SLOW_READERS = 8
CALLS = 200
BATCH, BATCHES = 1_000, 10


@dataclass(frozen=True)
class Bench:
    """The data and options of all measures.

    :param rows: the number of bounces on the large list.
    :param url: the URL of the SQLite database *file*.
    :param mysql_url: a MariaDB database with the same bounces; empty without a server.
    :param rounds: the number of turns of a measure and its baseline.
    """

    rows: int
    url: str
    file: Path
    folder: Path
    rounds: int
    mysql_url: str = ""

    def serve(self, *flags: str, **settings: str) -> AbstractContextManager[Server]:
        """Serve the large database with default settings, except *settings*."""
        return serving(servers.emulator(self.url, *flags, **settings))


@dataclass(frozen=True)
class Row:
    """A line of the report, with a figure for each round.

    :param unit: ``x`` for a ratio to the baseline, ``ms``, ``MB``, or empty for a
        number. The result is the maximum of numbers and of MB, else the median.
    :param target: the maximum of the result, or the minimum if *least* is true; None
        without a target.
    """

    measure: str
    baseline: str
    unit: str
    figures: list[float]
    target: float | None
    least: bool = False
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def result(self) -> float:
        """The figure to compare with the target."""
        return max(self.figures) if self.unit in ("MB", "") else median(self.figures)

    @property
    def holds(self) -> bool | None:
        """Whether the result meets the target; None without a target."""
        if self.target is None:
            return None
        return (self.result >= self.target) == self.least or self.result == self.target


def dump(bench: Bench) -> Iterator[Row]:
    """Read the whole list over HTTP, and by the command line of SQLite."""
    command = ["sqlite3", "-cmd", ".mode json", str(bench.file)]
    command.append(DUMP.format(created="datetime(created, 'unixepoch')"))
    limits = {"json": 1.2, "xml": 1.6}
    yield from _dumps(bench, command, "sqlite3 .mode json", limits)


def on_mariadb(bench: Bench) -> Iterator[Row]:
    """Repeat measures on MariaDB, where the list and the look-up have targets."""
    if not bench.mysql_url:
        return
    place = urlsplit(bench.mysql_url)
    command = ["mariadb", f"--host={place.hostname}", f"--port={place.port or 3306}"]
    command += [f"--user={place.username}", "--batch", "--quick", place.path[1:]]
    command += ["--execute", DUMP.format(created="FROM_UNIXTIME(created)")]
    bench = replace(bench, url=bench.mysql_url)
    rows = list(_dumps(bench, command, "mariadb --batch --quick", {"json": 2.5}))
    rows += [replace(row, target=0.45) for row in look_up(bench)]
    for measure in (counts, offset, pages):
        rows += [replace(row, target=None) for row in measure(bench)]
    for row in rows:
        yield replace(row, measure=f"MariaDB: {row.measure}")


def _dumps(
    bench: Bench, command: list[str], name: str, limits: dict[str, float]
) -> Iterator[Row]:
    times: dict[str, list[float]] = {suffix: [] for suffix in limits}
    firsts: dict[str, list[float]] = {suffix: [] for suffix in limits}
    grown: dict[str, list[float]] = {suffix: [] for suffix in limits}
    baseline = []
    with bench.serve() as server:
        small = get(f"/api/bounces.get.xml?{CREDENTIALS}&limit=1000&date=1")
        for _ in range(40):  # so that each worker has verified the key
            clients.download(server.port, small)
        before = server.resident()
        for _ in range(bench.rounds):
            baseline.append(_piped(command))
            for suffix, took in times.items():
                with server.watching_memory(before) as memory:
                    target = f"/api/bounces.get.{suffix}?{CREDENTIALS}&date=1"
                    read = clients.download(server.port, get(target))
                took.append(read.seconds)
                firsts[suffix].append(read.first_byte * 1_000)
                grown[suffix] += memory
    for suffix, limit in limits.items():
        measure = f"bounces.get.{suffix}?date=1, {bench.rows:,} rows"
        ratios = _ratios(times[suffix], baseline)
        notes = {"seconds": median(times[suffix]), "baseline": median(baseline)}
        yield Row(measure, name, "x", ratios, limit, notes=notes)
        yield Row(f"{measure}: first byte", "", "ms", firsts[suffix], 20)
        yield Row(f"{measure}: server's memory grows", "", "MB", grown[suffix], 16)


def beside_a_dump(bench: Bench) -> Iterator[Row]:
    """Make small requests and writes while the only worker sends the whole list."""
    target = f"/api/bounces.get.json?{CREDENTIALS}&date=1"
    calls = {
        "a small call": (get(_look_up(1)), 15.0),
        "a writer": (_form("beside@a.example"), None),
    }
    with copied(bench) as copy, copy.serve("--workers=1") as server:
        for measure, (request, limit) in calls.items():
            alone, beside = [], []
            for _ in range(bench.rounds):
                took = clients.seconds(server.port, request, CALLS)
                alone.append(clients.percentile_99(took) * 1_000)
                load = partial(_download, server.port, get(target))
                with clients.background(load) as ended:
                    took = clients.latencies(
                        server.port, request, lambda: not ended.is_set()
                    )
                beside.append(clients.percentile_99(took) * 1_000)
            yield Row(
                f"{measure} while {bench.rows:,} rows are sent by the same worker, p99",
                "",
                "ms",
                beside,
                limit,
                notes={"alone": median(alone)},
            )


def slow_readers(bench: Bench) -> Iterator[Row]:
    """Make small requests and writes while clients read the whole list slowly."""
    target = f"/api/bounces.get.json?{CREDENTIALS}&date=1"
    figures, sizes = [], []
    with copied(bench) as copy, copy.serve("--workers=1") as server:
        load = partial(clients.read_slowly, server.port, get(target))
        with clients.background(load, SLOW_READERS):
            time.sleep(0.5)
            for number in range(bench.rounds):
                took = clients.seconds(server.port, get(_look_up(1)), CALLS)
                figures.append(clients.percentile_99(took) * 1_000)
                with closing(clients.connect(server.port)) as connection:
                    for turn in range(20):
                        batch = _batch(f"slow{number}.{turn}")
                        clients.exchange(connection, batch)
                sizes.append(_size(copy.file, "-wal"))
        measure = f"a small call beside {SLOW_READERS} slow readers of one worker, p99"
        yield Row(measure, "", "ms", figures, 15)
        measure = "SQLite's log after 20,000 rows a round beside slow readers"
        yield Row(measure, "", "MB", sizes, 64)


def look_up(bench: Bench) -> Iterator[Row]:
    """Look up single addresses."""
    measure = f"bounces.get.json?email=, {bench.rows:,} rows: rate"
    figures = _against_hello(bench, servers.emulator(bench.url))
    yield Row(measure, "Flask hello, same Gunicorn", "x", figures, 0.6, least=True)


def controlled_look_up(bench: Bench) -> Iterator[Row]:
    """Look up single addresses with control endpoints and the request log on."""
    ours = servers.emulator(bench.url, CONTROL="on")
    measure = "the same, with control endpoints and a request log"
    figures = _against_hello(bench, ours)
    yield Row(measure, "Flask hello, same Gunicorn", "x", figures, 0.48, least=True)


def instructions_of_look_ups(_bench: Bench) -> Iterator[Row]:
    """Count the instructions of look-ups, which repeat on a noisy machine."""
    if shutil.which("valgrind") is None:
        return
    (_, hello), *counted = instructions.count(("hello", *instructions.LOOK_UPS))
    for name, count in counted:
        notes = {"instructions": count, "baseline": hello}
        measure = f"{name}: instructions, without Gunicorn and the kernel"
        yield Row(measure, "Flask hello", "x", [count / hello], None, notes=notes)


def statements_of_look_up(_bench: Bench) -> Iterator[Row]:
    """Count the SQL statements of a look-up with control endpoints."""
    with TemporaryDirectory() as folder:
        statements = dict(paths.measure(folder))[paths.CONTROLLED].statements
    measure = "SQL statements of a look-up with control endpoints and a request log"
    yield Row(measure, "", "", [statements], 4)


def counts(bench: Bench) -> Iterator[Row]:
    """Count the bounces of a month and a type, and all bounces."""
    call = f"/api/bounces.count.json?{CREDENTIALS}"
    with bench.serve() as server:
        for measure, query, target in (
            ("type and 30 days", f"&type=hard&{MONTH}", 2.5),
            ("the whole list", "", 40),
        ):
            figures = _more(server, call + query, _look_up(1), bench.rounds)
            yield Row(
                f"bounces.count.json, {measure}: more than a look-up",
                "",
                "ms",
                figures,
                target,
            )


def offset(bench: Bench) -> Iterator[Row]:
    """Read a page from the far end of the list."""
    call = f"/api/bounces.get.json?{CREDENTIALS}&date=1&limit=100&offset="
    far = bench.rows * 9 // 10
    with bench.serve() as server:
        figures = _more(server, f"{call}{far}", f"{call}0", bench.rounds)
    yield Row(f"limit=100&offset={far}: more than offset=0", "", "ms", figures, 25)


def pages(bench: Bench) -> Iterator[Row]:
    """Read the first and the thousandth page of a Mailgun list."""
    number = min(1_000, bench.rows // 200)
    with bench.serve() as server:
        target = f"{V3}?limit=100"
        with closing(clients.connect(server.port)) as connection:
            for _ in range(number - 1):
                answer = clients.exchange(connection, get(target, BASIC))
                page = json.loads(answer.partition(b"\r\n\r\n")[2])
                target = page["paging"]["next"].partition("localhost")[2]
        ratios = []
        for _ in range(bench.rounds):
            near, far = (
                median(clients.seconds(server.port, get(path, BASIC), CALLS))
                for path in (f"{V3}?limit=100", target)
            )
            ratios.append(far / near)
    yield Row(f"Mailgun v3, page {number:,}", "page 1", "x", ratios, 1.1)


def batch(bench: Bench) -> Iterator[Row]:
    """Add batches of a thousand new addresses over HTTP, and directly to SQLite.

    Both have their own database, so that a checkpoint does not delay the other.
    """
    ratios = []
    with (
        copied(bench) as copy,
        copy.serve() as server,
        closing(clients.connect(server.port)) as connection,
        copied(bench) as other,
        closing(sqlite3.connect(other.file, isolation_level=None)) as raw,
    ):
        for pragma in PRAGMAS:
            raw.execute(f"PRAGMA {pragma}")
        clients.exchange(connection, _batch("warm"))
        for number in range(bench.rounds):
            mine, theirs = 0.0, 0.0
            for turn in range(BATCHES):
                request, rows = _batch(f"b{number}.{turn}"), _rows(f"b{number}.{turn}")
                mine += clients.timed(clients.exchange, connection, request)
                theirs += clients.timed(_upsert, raw, rows)
            ratios.append(theirs / mine)
    measure = f"Mailgun JSON batch of {BATCH:,} new addresses: rows a second"
    yield Row(measure, "sqlite3 executemany", "x", ratios, 0.55, least=True)


def csv_import(bench: Bench) -> Iterator[Row]:
    """Import a file over HTTP, and by Python's csv and sqlite3, which write once."""
    file = bench.folder / "import.csv"
    rows = data.write_csv(file)
    body = (
        b'--xx\r\nContent-Disposition: form-data; name="file"; filename="b.csv"\r\n'
        b"\r\n" + file.read_bytes() + b"\r\n--xx--\r\n"
    )
    form = "Content-Type: multipart/form-data; boundary=xx"
    request = post(f"{V3}/import", body, BASIC, form)
    mine, baseline, grown = [], [], []
    for _ in range(bench.rounds):
        with (
            copied(bench) as copy,
            closing(sqlite3.connect(copy.file, isolation_level=None)) as raw,
        ):
            for pragma in PRAGMAS:
                raw.execute(f"PRAGMA {pragma}")
            baseline.append(clients.timed(_import, raw, file))
        with copied(bench) as copy, copy.serve() as server:
            connection = clients.connect(server.port)
            with (
                closing(connection),
                server.watching_memory(server.resident()) as memory,
            ):
                mine.append(clients.timed(clients.exchange, connection, request))
            grown += memory
    measure = f"CSV import, {len(body) / MEGABYTE:.0f} MB, {rows:,} rows"
    notes = {"seconds": median(mine), "baseline": median(baseline)}
    ratios = _ratios(mine, baseline)
    yield Row(measure, "csv and sqlite3 executemany", "x", ratios, 3, notes=notes)
    yield Row(f"{measure}: server's memory grows", "", "MB", grown, 80)


def range_delete(bench: Bench) -> Iterator[Row]:
    """Make small requests while half of the list is deleted by date."""
    middle = data.FIRST + bench.rows // 2 * data.STEP
    day = time.strftime("%Y-%m-%d", time.gmtime(middle))
    request = get(f"/api/bounces.delete.json?{CREDENTIALS}&end_date={day}")
    figures = []
    for _ in range(min(bench.rounds, 3)):
        with copied(bench) as copy, copy.serve("--workers=1") as server:
            load = partial(_download, server.port, request)
            with clients.background(load) as ended:
                look_up = get(_look_up(bench.rows - 1))
                took = clients.latencies(
                    server.port, look_up, lambda: not ended.is_set()
                )
            figures.append(clients.percentile_99(took) * 1_000)
    measure = f"a small call while the worker deletes {bench.rows // 2:,} rows, p99"
    yield Row(measure, "", "ms", figures, 20)


def start(bench: Bench) -> Iterator[Row]:
    """Start a server on the existing database, and wait for the first response."""
    emulator = servers.emulator(bench.url)
    mine, hello = [], []
    for _ in range(bench.rounds * 2):
        hello.append(_started(servers.hello_by_default()))
        mine.append(_started(emulator))
    notes = {"seconds": median(mine), "baseline": median(hello)}
    ratios = _ratios(mine, hello)
    measure = "gunicorn wsgi:app: start to first answer"
    yield Row(measure, "Flask hello, Gunicorn", "x", ratios, 1.45, notes=notes)


def against_moto(bench: Bench) -> Iterator[Row]:
    """Start a server and make small requests, compared with a popular emulator.

    Its program is a development server, Werkzeug's, which has no faster one.
    """
    if find_spec("moto") is None:
        return
    emulator = servers.emulator(bench.url)
    rates, starts = [], []
    with serving(emulator) as ours:
        for number in range(bench.rounds):
            with serving(servers.moto()) as moto:
                theirs = clients.rate(moto.port, servers.MOTO_CALL, 2, fresh=True)
                mine = clients.rate(ours.port, get(_look_up(number)), 2, fresh=True)
            rates.append(mine / theirs)
            starts.append(_started(emulator) / moto.started)
    measure = "one small GET on a connection of its own: rate"
    name = "moto_server, a development server"
    yield Row(measure, f"{name}: ListIdentities", "x", rates, 3, least=True)
    yield Row("start to first answer", name, "x", starts, 0.5)


def fixture(bench: Bench) -> Iterator[Row]:
    """Run a test suite with the pytest fixture, and with a bare test client."""
    ratios = [
        test_double.run(test_double.FIXTURE) / test_double.run(test_double.CLIENT)
        for _ in range(bench.rounds)
    ]
    measure = f"{test_double.TESTS} tests with the pytest fixture"
    yield Row(measure, "Flask test client", "x", ratios, 1.1)


#: The measures by their names for ``--only``.
MEASURES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "dump": dump,
    "beside-a-dump": beside_a_dump,
    "slow-readers": slow_readers,
    "look-up": look_up,
    "controlled-look-up": controlled_look_up,
    "instructions": instructions_of_look_ups,
    "statements": statements_of_look_up,
    "count": counts,
    "offset": offset,
    "pages": pages,
    "batch": batch,
    "import": csv_import,
    "delete": range_delete,
    "start": start,
    "moto": against_moto,
    "fixture": fixture,
    "mariadb": on_mariadb,
}


def _look_up(number: int) -> str:
    return f"/api/bounces.get.json?{CREDENTIALS}&date=1&email={data.email(number)}"


def _against_hello(bench: Bench, launch: servers.Launch) -> list[float]:
    """Return the rates of look-ups as fractions of the rate of bare Flask."""
    figures = []
    with serving(launch) as ours, serving(servers.hello()) as hello:
        for number in range(bench.rounds):
            mine = clients.rate(ours.port, get(_look_up(number)), 2)
            figures.append(mine / clients.rate(hello.port, get("/"), 2))
    return figures


def _form(address: str) -> bytes:
    form = "Content-Type: application/x-www-form-urlencoded"
    return post(V3, f"address={address}".encode(), BASIC, form)


def _batch(tag: str) -> bytes:
    records = [
        {"address": row[2], "code": row[4], "error": row[5]} for row in _rows(tag)
    ]
    json_type = "Content-Type: application/json"
    return post(V3, json.dumps(records).encode(), BASIC, json_type)


def _rows(tag: str) -> list[tuple[object, ...]]:
    """Return rows of the table, with new addresses."""
    bounces = [(f"{tag}.{data.email(n)}", "550", "mailbox full") for n in range(BATCH)]
    return [
        (1, fold(email), email, code, code, reason, classify(code), data.FIRST, False)
        for email, code, reason in bounces
    ]


def _upsert(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    """Write rows in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(UPSERT, rows)
    connection.execute("COMMIT")


#: The settings of the server.
PRAGMAS = (
    "journal_mode = wal",
    "synchronous = full",
    "foreign_keys = 1",
    "cache_size = -4000",
    "wal_autocheckpoint = 10000",
)
NAMES = "bounce_list_id, key, email, status, code, reason, type, created, reported"
COLUMNS = NAMES.split(", ")
UPSERT = (
    f"INSERT INTO bounce ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (bounce_list_id, key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[2:])
)


def _import(connection: sqlite3.Connection, file: Path) -> None:
    """Read the CSV file *file*, and write its rows in one transaction."""
    with file.open(encoding="ascii", newline="") as lines:
        rows = csv.reader(lines)
        next(rows)
        _upsert(
            connection,
            (
                (1, fold(email), email, code, code, reason, 5, data.FIRST, False)
                for email, code, reason, _created in rows
            ),
        )


def _download(port: int, request: bytes, _stop: Event) -> None:
    clients.download(port, request)


def _piped(command: list[str]) -> float:
    """Return the seconds that reading the output of *command* takes."""
    buffer = bytearray(clients.PIECE)
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        while process.stdout.readinto(buffer):  # type: ignore[attr-defined]
            pass
    if process.returncode:
        raise SystemExit(f"{command[0]} failed")
    return time.perf_counter() - begun


def _more(server: Server, target: str, than: str, rounds: int) -> list[float]:
    """Return how many milliseconds *target* takes longer than *than*."""
    figures = []
    for _ in range(rounds):
        base = median(clients.seconds(server.port, get(than), 30))
        took = median(clients.seconds(server.port, get(target), 30))
        figures.append((took - base) * 1_000)
    return figures


def _started(launch: servers.Launch) -> float:
    with serving(launch) as server:
        return server.started


@contextmanager
def copied(bench: Bench) -> Iterator[Bench]:
    """Copy the database for a measure that changes it."""
    with TemporaryDirectory(dir=bench.folder) as folder:
        file = Path(folder) / "copy.sqlite3"
        with closing(sqlite3.connect(bench.file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(bench.file, file)
        yield Bench(bench.rows, f"sqlite:///{file}", file, bench.folder, bench.rounds)


def _size(file: Path, suffix: str) -> float:
    return Path(f"{file}{suffix}").stat().st_size / MEGABYTE


def _ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]
