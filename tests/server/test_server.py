"""Real servers: they start, stop, refuse and survive as they should."""

import http.client
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from pathlib import Path

import pytest
from live import (
    COMMAND,
    ROOT,
    TIMEOUT,
    Live,
    gunicorn,
    kill,
    named,
    serving,
    start,
)

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.server.gunicorn_app import MEMORY_FOLDER
from sendgrid_bounces.storage.database import open_storage

pytestmark = pytest.mark.server

ACME = "?api_user=acme&api_key=s3cret"

#: The command, with workers the first of which cannot open the database.
FAILING_ONCE = """\
from pathlib import Path
from sendgrid_bounces.cli import main
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.server import gunicorn_app

create_app = gunicorn_app.create_app

def fail_once(*args, **options):
    try:
        Path("failed").touch(exist_ok=False)
    except FileExistsError:
        return create_app(*args, **options)
    raise StorageError("not yet")

gunicorn_app.create_app = fail_once
main()
"""


def _file(url: str) -> Path:
    """Return the file of an SQLite database."""
    return Path(url.removeprefix("sqlite:///").partition("?")[0])


@pytest.fixture(name="short_timeout", scope="module")
def _short_timeout(tmp_path_factory: pytest.TempPathFactory):
    """A server with two threads and an idle timeout of one second."""
    url = f"sqlite:///{tmp_path_factory.mktemp('short') / 'b.sqlite3'}"
    with serving(
        *("--database", url, "--auth", "any"),
        *("--workers", "1", "--threads", "2", "--timeout", "1"),
    ) as live:
        yield live


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /a",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-",
        b"POST /api/bounces.get.json HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab",
        b"POST /v3/d/bounces/import HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n",
    ],
    ids=["request line", "headers", "body", "refused body"],
)
def test_stalled_client_is_disconnected(short_timeout: Live, beginning: bytes) -> None:
    """Two stalled clients hold both threads; a third is answered after the timeout."""
    with ExitStack() as stack:
        for _ in range(2):
            connection = socket.create_connection(short_timeout.address, TIMEOUT)
            stack.enter_context(connection).sendall(beginning)
        began = time.monotonic()
        assert short_timeout.get("/api/bounces.count.json?api_user=a&api_key=b")
        assert time.monotonic() - began < 10


def test_server_is_announced_once_although_its_first_worker_fails(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "failing_once.py").write_text(FAILING_ONCE)
    process = start(
        *("failing_once", "serve", "--port", "0", "--database", url),
        *("--workers", "1", "--control", "off", "--auth", "any"),
        cwd=tmp_path,
        PYTHONPATH=str(ROOT),
    )
    try:
        assert select.select([process.stdout], [], [], TIMEOUT)[0], "not announced"
        line = process.stdout.readline()
        live = Live(line.removeprefix("Listening on ").strip(), process)
        live.get(f"/api/bounces.count.json{ACME}")
        os.kill(live.workers()[0], signal.SIGKILL)
        live.when_up(f"/api/bounces.count.json{ACME}")
    finally:
        output, errors = kill(process)
    assert line.startswith("Listening on http://127.0.0.1:")
    assert output == ""
    assert "Error: not yet" in errors


def test_state_survives_a_restart(url: str, tmp_path: Path) -> None:
    """A deleted bounce of the seed file stays deleted."""
    seed = tmp_path / "seed.yaml"
    seed.write_text(
        "accounts: [{username: acme, api_key: s3cret, bounces: [{email: a@x}, {email: b@x}]}]"
    )
    with serving("--database", url, "--seed", str(seed)) as live:
        live.get(f"/api/bounces.delete.json{ACME}&email=a@x")
    with serving("--database", url) as live:
        assert [
            row["email"] for row in json.loads(live.get(f"/api/bounces.get.json{ACME}"))
        ] == ["b@x"]


def test_serve_reads_environment_variables(url: str) -> None:
    """An option overrides its variable."""
    variables = {
        "SENDGRID_BOUNCES_DATABASE_URL": url,
        "SENDGRID_BOUNCES_AUTH": "any",
        "SENDGRID_BOUNCES_PROFILE": "documented",
    }
    with serving("--profile", "recorded", **variables) as live:
        assert (
            live.get("/api/bounces.count.json?api_user=x&api_key=y") == '{"count": 0}'
        )


def test_concurrent_first_requests_create_one_account(url: str) -> None:
    """Sixteen clients call two workers, without an error."""
    with (
        serving("--database", url, "--auth", "any") as live,
        ThreadPoolExecutor(16) as pool,
    ):
        answers = set(
            pool.map(
                lambda n: live.get(
                    f"/api/bounces.count.json?api_user=new{n % 4}&api_key=k"
                ),
                range(64),
            )
        )

    assert {'{"count": "0"}'} == answers
    storage = open_storage(url)
    assert len(storage.accounts.all()) == 4
    storage.close()


#: The beginning of a response.
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"5.5.5-MariaDB\0", "does not speak HTTP"),
        (b"", "Remote end closed connection"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
            "is not a sendgrid-bounces server",
        ),
        (
            b"HTTP/1.1 404 No\r\nContent-Type: text/html\r\n\r\n<html>",
            "is not a sendgrid-bounces server",
        ),
        (b"%s[]" % JSON_HEAD, "the response is not valid"),
        (b'%s{"status": "bad"}' % JSON_HEAD, "the response is not valid"),
        (b'%s{"status": "ok", "x"' % JSON_HEAD, "the response is not valid"),
        (b"%s\xff" % JSON_HEAD, "the response is not valid"),
    ],
)
def test_health_reports_another_server_in_one_line(answer: bytes, message: str) -> None:
    """The command ignores proxy variables."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        ThreadPoolExecutor(1) as pool,
    ):

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        pool.submit(serve)
        port = server.getsockname()[1]
        process = start(
            *("sendgrid_bounces", "health", "--port", str(port)),
            http_proxy="http://127.0.0.1:9",
        )
        _out, err = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, err.count("\n")) == (1, 1)
    assert re.search(rf"127\.0\.0\.1:{port}:? {message}", err)


@pytest.mark.parametrize("target", ["wsgi:app", "wsgi:application"])
def test_gunicorn_serves_the_entry_point(url: str, target: str, tmp_path: Path) -> None:
    """A restarted worker does not load the seed files again."""
    seed = tmp_path / "seed.yaml"
    seed.write_text(
        "accounts: [{username: acme, api_key: s3cret, bounces: [{email: a@x}]}]"
    )
    variables = {
        "SENDGRID_BOUNCES_DATABASE_URL": url,
        "SENDGRID_BOUNCES_SEED": str(seed),
    }
    with gunicorn(target, "-w", "1", **variables) as live:
        count = f"/api/bounces.count.json{ACME}"
        assert live.when_up(count) == '{"count": "1"}'
        live.get(f"/api/bounces.delete.json{ACME}&email=a@x")

        def restart_worker() -> None:
            os.kill(live.workers()[0], signal.SIGKILL)
            assert live.when_up(count) == '{"count": "0"}'

        with closing(open_storage(url)) as storage:
            storage.engine.transact(restart_worker)
        _out, err = kill(live.process)

    assert "Traceback" not in err
    assert "s3cret" not in err


@pytest.mark.parametrize(
    "variables",
    [
        {"WORKERS": "x"},
        {"WORKERS": "0"},
        {"THREADS": "257"},
        {"PORT": "65536"},
        {"JOURNAL_SIZE": "1000000"},
        {"TIMEOUT": "0"},
        {"AUTH": "foo"},
        {"NOPE": "1"},
        {"DATABASE_URL": "foo"},
        {"KEY_HASH": "md5"},
        {"SEED": "/no/such.yaml"},
    ],
    ids=str,
)
def test_gunicorn_reports_an_invalid_setting_in_one_line(url: str, variables) -> None:
    """Gunicorn exits instead of starting workers."""
    variables = {"DATABASE_URL": url, **variables}
    with gunicorn("wsgi:app", **named(**variables)) as live:
        _out, err = live.process.communicate(timeout=TIMEOUT)

    assert live.process.returncode != 0
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


def test_gunicorn_check_config_does_not_load_seeds(url: str, tmp_path: Path) -> None:
    """The database can be in use."""
    seed = tmp_path / "seed.yaml"
    seed.write_text("accounts: [{username: acme, api_key: s3cret}]")
    variables = named(DATABASE_URL=url, SEED=str(seed))
    with gunicorn("wsgi:app", "--check-config", **variables) as live:
        _out, err = live.process.communicate(timeout=TIMEOUT)

    assert (live.process.returncode, err) == (0, "")
    with closing(open_storage(url)) as storage:
        assert storage.accounts.all() == []


CONF = "python:sendgrid_bounces.gunicorn_conf"
WSGI = "sendgrid_bounces.wsgi:app"


def test_gunicorn_serves_the_installed_package(url: str, tmp_path: Path) -> None:
    """Workers have the settings and the idle timeout, and do not load seed files."""
    (tmp_path / "seed.yaml").write_text(
        "accounts: [{username: acme, api_key: s3cret, bounces: [{email: a@x}]}]"
    )
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        f"database_url: {url}\nseed: seed.yaml\nprofile: recorded\nworkers: 1\n"
        "timeout: 1\ncontrol_token: t0ken"
    )
    variables = named(CONFIG=str(settings))
    with gunicorn(WSGI, "-c", CONF, cwd=tmp_path, **variables) as live:
        count = f"/api/bounces.count.json{ACME}"
        assert live.when_up(count) == '{"count": 1}'
        live.get(f"/api/bounces.delete.json{ACME}&email=a@x")
        settings.unlink()
        os.kill(live.workers()[0], signal.SIGKILL)
        assert live.when_up(count) == '{"count": 0}'
        assert len(live.workers()) == 1
        with pytest.raises(urllib.error.HTTPError, match="401"):
            live.get("/_emulator/clock")
        assert live.send(b"GET /v3/d/b", half_close=False)[:2] == (b"", b"")
        _out, err = kill(live.process)
    assert "Warning" not in err


def test_clients_of_a_unix_socket_cannot_choose_their_addresses(
    url: str, seed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would have a limit on wrong keys of its own."""
    monkeypatch.chdir(tmp_path)
    flags = ("-c", CONF, "-w", "1", "-b", "unix:server")
    variables = named(DATABASE_URL=url, SEED=seed)
    with gunicorn(WSGI, *flags, cwd=tmp_path, **variables) as live:
        live.when_up(f"/api/bounces.count.json{ACME}")
        statuses = []
        for number in range(21):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(TIMEOUT)
                client.bind(f"10.0.{number}.1" if number else b"\0\xff")
                client.connect("server")
                query = f"api_user=acme&api_key=wrong{number}"
                line = f"GET /api/bounces.count.json?{query} HTTP/1.0\r\n\r\n"
                client.sendall(line.encode())
                statuses.append(client.recv(12)[9:])
        assert statuses == [b"403"] * 20 + [b"429"]


@pytest.mark.parametrize(("target", "in_clone"), [("wsgi:app", True), (WSGI, False)])
def test_gunicorn_without_its_settings_prints_a_warning(
    url: str, tmp_path: Path, target: str, in_clone: bool
) -> None:
    """The application works, but Gunicorn would log API keys."""
    flags = ("-w", "1", *(("--chdir", str(ROOT)) if in_clone else ()))
    variables = named(DATABASE_URL=url, CONTROL_TOKEN="t0ken")
    with gunicorn(target, *flags, cwd=tmp_path, **variables) as live:
        assert live.when_up("/_emulator/health")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            live.get("/_emulator/clock")
        _out, err = kill(live.process)
    warnings = [line for line in err.splitlines() if line.startswith("Warning: ")]
    assert warnings == [f"Warning: Gunicorn logs API keys unless it uses -c {CONF}"]


TOTAL = 3_000


@pytest.fixture(name="seed")
def _seed(tmp_path: Path) -> str:
    """A seed file with many bounces of one account."""
    created = "2012-02-15 12:00:00"
    bounces = [{"email": f"{n}@x", "created": created} for n in range(TOTAL)]
    account = {"username": "acme", "api_key": "s3cret", "bounces": bounces}
    path = tmp_path / "seed.json"
    path.write_text(json.dumps({"accounts": [account]}))
    return str(path)


def _delete_each(live: Live, numbers: range, acknowledged: set[str]) -> None:
    """Delete addresses and record each success, until the server is killed."""
    for number in numbers:
        try:
            live.get(f"/api/bounces.delete.json{ACME}&email={number}@x")
        except (OSError, http.client.HTTPException):
            return
        acknowledged.add(f"{number}@x")


def test_killed_server_keeps_acknowledged_deletes(url: str, seed: str) -> None:
    """At most one more delete per client is stored."""
    acknowledged: set[str] = set()
    with serving("--database", url, "--seed", seed) as live:
        threads = [
            threading.Thread(
                target=_delete_each, args=(live, range(n, TOTAL, 4), acknowledged)
            )
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + TIMEOUT
        while len(acknowledged) < 200:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        kill(live.process)
        for thread in threads:
            thread.join(TIMEOUT)

    with closing(open_storage(url)) as storage:
        bounce_list = storage.accounts.get("acme").bounce_list
        batches = storage.bounces.find(bounce_list, BounceQuery())
        left = {row[0] for rows in batches for row in rows}
        assert not left & acknowledged
        assert len(left) >= TOTAL - len(acknowledged) - len(threads)
        assert storage.engine.fetch("PRAGMA integrity_check") == [("ok",)]


def test_too_many_threads_for_the_open_files_are_refused(url: str) -> None:
    command = [*COMMAND, "serve", "--port", "0", "--threads", "256", "--database", url]
    limit = resource.RLIMIT_NOFILE
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        preexec_fn=lambda: resource.setrlimit(limit, (1_024, 1_024)),
    )
    assert ended.returncode == 1
    assert "256 threads need 2368 open files, and the limit is 1024" in ended.stderr


@pytest.mark.skipif(not os.access(MEMORY_FOLDER, os.W_OK), reason="no memory folder")
def test_reload_needs_no_folder_for_temporary_files(url: str, tmp_path: Path) -> None:
    """The workers' heartbeat files are elsewhere."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    flags = ("--database", url, "--auth", "any", "--workers", "1")
    with serving(*flags, TMPDIR=str(folder)) as live:
        (old,) = live.workers()
        folder.rmdir()
        _reload(live, old)
        assert live.get(f"/api/bounces.count.json{ACME}") == '{"count": "0"}'


def test_reload_needs_no_working_folder(url: str, tmp_path: Path) -> None:
    """A deployment may have replaced it."""
    folder = tmp_path / "release"
    folder.mkdir()
    flags = ("--database", url, "--auth", "any", "--workers", "1")
    with serving(*flags, cwd=folder) as live:
        (old,) = live.workers()
        folder.rmdir()
        _reload(live, old)
        assert live.get(f"/api/bounces.count.json{ACME}") == '{"count": "0"}'


def test_signal_starts_no_second_server(url: str) -> None:
    """Gunicorn's USR2 would run the command again, which loads the seed files."""
    with serving("--database", url, "--workers", "1") as live:
        live.process.send_signal(signal.SIGUSR2)
        live.get("/_emulator/health")
        live.process.terminate()
        _out, err = live.process.communicate(timeout=TIMEOUT)
    assert "USR2 has no effect" in err


def test_server_survives_the_removal_of_its_folder_with_the_database(
    tmp_path: Path,
) -> None:
    """The default database is relative to the working folder."""
    folder = tmp_path / "release"
    folder.mkdir()
    with serving("--auth", "any", "--workers", "1", cwd=folder) as live:
        (old,) = live.workers()
        shutil.rmtree(folder)
        _reload(live, old)
        with pytest.raises(urllib.error.HTTPError) as caught:
            live.get("/_emulator/health")
        assert "the file was removed or replaced" in caught.value.read().decode()


@pytest.mark.slow
def test_memory_of_large_bodies_is_returned(url: str) -> None:
    """glibc would keep about ten megabytes for each of these, up to a gigabyte."""
    body = ("address=a%40b.example&error=\U0001f600" + "x" * 8_000_000).encode()
    with serving("--database", url, "--workers", "1", "--threads", "8") as live:
        (worker,) = live.workers()
        status = Path(f"/proc/{worker}/status")
        for number in range(20):
            connection = http.client.HTTPConnection(*live.address, timeout=TIMEOUT)
            with closing(connection):
                connection.request("POST", "/v3/d.example/bounces", body)
                assert connection.getresponse().status == 401
            if number == 0:
                first = _resident(status)
        assert _resident(status) - first < 50


def _resident(status: Path) -> int:
    """Return the megabytes of memory of a process."""
    (size,) = re.findall(r"VmRSS:\s+(\d+) kB", status.read_text())
    return int(size) // 1024


def test_signal_ends_gunicorn_that_waits_for_the_database(url: str, seed: str) -> None:
    open_storage(url).close()
    file = _file(url)
    flags = ("-c", "python:sendgrid_bounces.gunicorn_conf")
    target, variables = "sendgrid_bounces.wsgi:app", named(DATABASE_URL=url, SEED=seed)
    with closing(sqlite3.connect(file, isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        with gunicorn(target, *flags, **variables) as live:
            deadline = time.monotonic() + TIMEOUT
            while True:  # until it listens
                with suppress(ConnectionRefusedError):
                    socket.create_connection(live.address, TIMEOUT).close()
                    break
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(0.5)
            live.process.terminate()
            assert live.process.wait(5) == -signal.SIGTERM
            live.process.communicate()


@pytest.mark.parametrize(
    ("flags", "files"),
    [
        (
            ("-c", "conf.py"),
            {"conf.py": "from sendgrid_bounces.gunicorn_conf import *\ndef when_ready(server):\n    pass\n"},
        ),
        (
            ("-c", "python:sendgrid_bounces.gunicorn_conf", "--preload"),
            {"other.py": "from sendgrid_bounces.wsgi import app\napp = (lambda f: lambda *a: f(*a))(app)\n"},
        ),
    ],
    ids=["own hook", "wrapped application"],
)  # fmt: skip
def test_gunicorn_serves_with_changes(
    url: str, tmp_path: Path, flags: tuple[str, ...], files: dict[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    target = "other:app" if "other.py" in files else "sendgrid_bounces.wsgi:app"
    variables = named(DATABASE_URL=url, AUTH="any")
    with gunicorn(target, *flags, cwd=tmp_path, **variables) as live:
        assert live.when_up(f"/api/bounces.count.json{ACME}") == '{"count": "0"}'


def _reload(live: Live, old: int) -> None:
    """Replace the worker *old*."""
    live.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + TIMEOUT
    while not live.workers() or old in live.workers():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_gunicorn_that_cannot_listen_loads_no_seed(url: str, seed: str) -> None:
    """The server that listens there may use the same database."""
    flags = ("-c", "python:sendgrid_bounces.gunicorn_conf")
    target, variables = "sendgrid_bounces.wsgi:app", named(DATABASE_URL=url, SEED=seed)
    with gunicorn(target, *flags, **variables) as live:
        live.when_up(f"/api/bounces.count.json{ACME}")
        live.get(f"/api/bounces.delete.json{ACME}&email=0@x")
        bind = ("-b", f"127.0.0.1:{live.address[1]}")
        second = start("gunicorn", *bind, *flags, target, **variables)
        _out, err = second.communicate(timeout=TIMEOUT)
        assert second.returncode == 1
        assert "in use" in err
        count = live.get(f"/api/bounces.count.json{ACME}")
        assert count == f'{{"count": "{TOTAL - 1}"}}'


def _running(
    server: str, url: str, seed: str, **settings: str
) -> AbstractContextManager[Live]:
    """Run ``serve``, or Gunicorn with the flags after its name."""
    variables = named(DATABASE_URL=url, SEED=seed, **settings)
    if server == "serve":
        return serving(**variables)
    return gunicorn(WSGI, "-c", CONF, *server.split()[1:], **variables)


@pytest.mark.parametrize("server", ["serve", "gunicorn", "gunicorn --preload"])
@pytest.mark.parametrize("is_replaced", [False, True], ids=["removed", "replaced"])
def test_new_workers_use_no_other_file(
    url: str, seed: str, tmp_path: Path, is_replaced, server: str
) -> None:
    """They know the file from their parent process, and refuse an empty one."""
    file = _file(url)
    target = f"/api/bounces.count.json{ACME}"
    with _running(server, url, seed, WORKERS="1") as live:
        assert live.when_up(target) == f'{{"count": "{TOTAL}"}}'
        (old,) = live.workers()
        for path in file.parent.glob(f"{file.name}*"):
            path.rename(tmp_path / f"old-{path.name}")
        if is_replaced:
            open_storage(url).close()
        before = {path.name for path in file.parent.iterdir()}
        _reload(live, old)

        for path in ("/_emulator/health", target):
            with pytest.raises(urllib.error.HTTPError) as raised:
                live.get(path)
            assert raised.value.code == 503
            assert raised.value.read()
        assert {path.name for path in file.parent.iterdir()} == before


@pytest.mark.parametrize("server", ["serve", "gunicorn"])
def test_stopped_server_leaves_no_write_ahead_log(
    url: str, seed: str, server: str
) -> None:
    """The file, which has all writes then, can be moved alone."""
    file = _file(url)
    with _running(server, url, seed) as live:
        live.when_up(f"/api/bounces.count.json{ACME}")
        live.get(f"/api/bounces.delete.json{ACME}&email=0@x")
        assert file.with_name(f"{file.name}-wal").stat().st_size
        live.process.terminate()
        live.process.communicate(timeout=TIMEOUT)
        assert not live.process.returncode
    assert not [*file.parent.glob("*-wal"), *file.parent.glob("*-shm")]
    with serving("--database", url) as live:
        count = live.get(f"/api/bounces.count.json{ACME}")
        assert count == f'{{"count": "{TOTAL - 1}"}}'


def test_stopped_server_leaves_the_log_of_another_server(url: str, seed: str) -> None:
    """A stopped server also leaves the log of a file that was moved."""
    file = _file(url)
    log = file.with_name(f"{file.name}-wal")
    with (
        serving("--database", url, "--seed", seed) as live,
        serving("--database", url) as other,
    ):
        other.get(f"/api/bounces.delete.json{ACME}&email=0@x")
        live.process.terminate()
        live.process.communicate(timeout=TIMEOUT)
        assert log.stat().st_size
        moved = file.rename(file.with_name("moved"))
        other.process.terminate()
        other.process.communicate(timeout=TIMEOUT)
    assert log.stat().st_size
    moved.rename(file)
    with serving("--database", url) as live:
        count = live.get(f"/api/bounces.count.json{ACME}")
        assert count == f'{{"count": "{TOTAL - 1}"}}'


def _is_locked(url: str) -> bool:
    """Return whether a process is writing to an SQLite database."""
    file = _file(url)
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


def test_reads_are_answered_while_the_database_is_locked(url: str) -> None:
    """Writes wait for the lock, on most of the threads."""
    flags = ("--auth", "any", "--workers", "1", "--threads", "4")
    count = "/api/bounces.count.json?api_user=acme&api_key=s3cret"
    with serving("--database", url, *flags) as live, ThreadPoolExecutor(9) as pool:
        live.get(count)

        def write(_: int) -> int:
            try:
                live.get(count.replace("count", "delete"), b"delete_all=1")
            except urllib.error.HTTPError as error:
                return error.code
            return 200

        file = _file(url)
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            statuses = pool.map(write, range(8))
            time.sleep(0.5)
            answer = pool.submit(live.get, count).result(10)
            connection.execute("ROLLBACK")
        assert answer == '{"count": "0"}'
        assert sorted(statuses) == [200] * 3 + [503] * 5


def test_killed_seed_load_is_atomic(url: str, seed: str) -> None:
    """The database stays intact and can be loaded afterwards."""
    met = 0
    with closing(open_storage(url)) as storage:
        bounce_list = storage.accounts.add("acme").bounce_list
        for number in range(5):
            storage.bounces.delete(bounce_list, BounceQuery(), clock=Clock())
            process = subprocess.Popen(
                [*COMMAND, "serve", "-p0", "--database", url, "--seed", seed],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            deadline = time.monotonic() + TIMEOUT
            while not _is_locked(url):
                assert time.monotonic() < deadline
                if storage.bounces.count(bounce_list, BounceQuery()):
                    break
            time.sleep(number * 0.01)
            kill(process)
            stored = storage.bounces.count(bounce_list, BounceQuery())
            assert stored in (0, TOTAL)
            met += not stored
    assert met, "a kill was to come before the end"
    with serving("--database", url, "--seed", seed) as live:
        counted = live.get(f"/api/bounces.count.json{ACME}")
    assert counted == f'{{"count": "{TOTAL}"}}'


def test_the_log_and_the_answers_hold_no_key(url: str) -> None:
    """Also when something goes wrong in the server."""
    with serving("--database", url, "--auth", "any") as live:
        with pytest.raises(urllib.error.HTTPError):
            live.get("/api/bounces.get.json?api_user=a&api_key=very-s3cret&limit=x")
        live.send(b"GET /api/bounces.get.json?api_key=very-s3cret HTTP/9\r\n\r\n")
        live.process.send_signal(signal.SIGTERM)
        out, err = live.process.communicate(timeout=TIMEOUT)

    assert "very-s3cret" not in out + err
