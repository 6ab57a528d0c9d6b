"""Pulling the bounces of an account, from this package's own SendGrid v3."""

import gzip
import json
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from click.testing import CliRunner
from conftest import NOW, bounce

from sendgrid_bounces.cli import main
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.errors import ConflictError, UnknownNameError
from sendgrid_bounces.core.timezones import DAY
from sendgrid_bounces.receiving.pulls import OVERLAP, Options, pull
from sendgrid_bounces.sources import pull as module
from sendgrid_bounces.sources.pull import PullError, Reader
from sendgrid_bounces.storage import rows
from sendgrid_bounces.storage.backups import open_backup, restore_backup, write_backup
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.storage.clock import SharedClock
from sendgrid_bounces.storage.contents import RESET_TABLES
from sendgrid_bounces.storage.database import Storage, open_storage
from sendgrid_bounces.storage.pulls import PullStore
from sendgrid_bounces.testing.app import TestApp

KEY = "SG.livelivelivelivelivel.livelivelivelivelivelivelivelivelivelivelive"


@pytest.fixture(name="live")
def _live() -> Iterator[TestApp]:
    """The live account: an application with an account and its key."""
    app = TestApp(seed={"accounts": [{"username": "live", "api_key": KEY}]})
    app.control.freeze(NOW)
    yield app
    app.close()


@pytest.fixture(name="pauses")
def _pauses() -> list[float]:
    """The pauses between attempts, which do not happen."""
    return []


@pytest.fixture(name="reader")
def _reader(live: TestApp, pauses: list[float]) -> Iterator[Reader]:
    reader = Reader(KEY, sleep=pauses.append, transport=httpx.WSGITransport(app=live))
    yield reader
    reader.close()


@pytest.fixture(name="local")
def _local(storage: Storage) -> Storage:
    """A database with the account that bounces are pulled into."""
    storage.accounts.add("acme")
    return storage


def _put(app: TestApp, *bounces) -> None:
    storage = app.emulator.storage
    storage.bounces.put(storage.accounts.get("live").bounce_list, bounces)


def _delete(app: TestApp, email: str) -> None:
    storage = app.emulator.storage
    query = BounceQuery(emails=(email,))
    bounce_list = storage.accounts.get("live").bounce_list
    storage.bounces.delete(bounce_list, query, clock=app.emulator.clock)


def _pull(local: Storage, reader: Reader, clock, **options):
    return pull(local, "acme", reader, Options(**options), clock, lambda *_: None)


@pytest.mark.parametrize("every", ["0", "PT0S", "367d", "99999999999999"])
def test_pause_is_bounded(every: str) -> None:
    flags = ["acme", "--from", "sendgrid", "--every", every]
    result = CliRunner().invoke(main, ["bounces", "pull", *flags])
    assert result.exit_code == 2
    assert "--every: must be from 1 second to 366 days" in result.stderr


@pytest.mark.parametrize("name", ["SENDGRID_API_KEY", KEY])
def test_missing_key_is_reported_without_a_key(monkeypatch, name: str) -> None:
    """A user can give the key in the place of the variable's name."""
    monkeypatch.delenv("SENDGRID_API_KEY", raising=False)
    flags = ["acme", "--from", "sendgrid", "--key-variable", name]
    result = CliRunner().invoke(main, ["bounces", "pull", *flags])
    assert result.exit_code == 2
    assert "no API key: set the variable " in result.stderr
    assert (name in result.stderr) is (name != KEY)


def test_missing_key_file_is_reported_without_its_name() -> None:
    """A user can give the key in the place of the file's name."""
    flags = ["acme", "--from", "sendgrid", "--key-file", KEY]
    result = CliRunner().invoke(main, ["bounces", "pull", *flags])
    assert result.exit_code == 1
    assert result.stderr == "Error: --key-file: No such file or directory\n"


def test_key_file_is_text(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"\xff")
    flags = ["acme", "--from", "sendgrid", "--key-file", str(file)]
    result = CliRunner().invoke(main, ["bounces", "pull", *flags])
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: --key-file: not UTF-8 text\n",
    )


def test_text_that_cannot_be_stored_does_not_end_the_pull(local, clock) -> None:
    """Each later pull would read the row again."""
    cut, long = {**ROW, "reason": "\ud83d"}, {**ROW, "reason": "x" * 70_000}
    rows = [cut, {**long, "email": "b@example.com"}]
    response = httpx.Response(200, text=json.dumps(rows))
    transport = httpx.MockTransport(lambda _: response)
    with closing(Reader(KEY, transport=transport)) as reader:
        assert pull(local, "acme", reader, Options(), clock, lambda *_: None).rows == 2
    assert [reason for _, _, reason, _ in _rows(local)] == ["?", "x" * 65_535]


def test_progress_is_that_of_the_period(local, live, reader, clock) -> None:
    _put(live, bounce("a@x.com", created=NOW - 10))
    shares: list[tuple[int, int]] = []
    for _ in range(2):
        options = Options()
        pull(local, "acme", reader, options, clock, lambda *share: shares.append(share))
    assert shares == [(NOW, NOW), (OVERLAP, OVERLAP)]


def _rows(storage: Storage, owner: str = "acme") -> list:
    bounce_list = storage.accounts.get(owner).bounce_list
    found = storage.bounces.find(bounce_list, BounceQuery())
    return sorted(
        (b.email, b.status, b.reason, b.created)
        for rows in found
        for b in map(as_bounce, rows)
    )


def _many(count: int, spread: int = 60) -> list:
    return [
        bounce(f"user{i}@example.com", created=NOW - 1 - i // 7 * spread)
        for i in range(count)
    ]


@pytest.mark.slow
def test_all_rows_arrive_and_a_second_pull_changes_nothing(
    local, live, reader, clock
) -> None:
    """More rows than fit into one window."""
    _put(live, *_many(12_345))

    first = _pull(local, reader, clock)
    assert (first.rows, first.changed, first.removed) == (12_345, 12_345, 0)
    assert _rows(local) == _rows(live.emulator.storage, "live")

    second = _pull(local, reader, clock, is_full=True)
    assert (second.rows, second.changed, second.removed) == (12_345, 0, 0)


def test_pull_has_the_time_of_the_system(local, live, reader, clock) -> None:
    """A deletion has that of the emulated clock, and is not forgotten."""
    shared = SharedClock(local.clock, clock)
    local.clock.change(lambda state: state.advanced(3 * DAY, NOW))
    _put(live, bounce("a@example.com", created=NOW - 10))
    done = _pull(local, reader, shared)
    assert (done.finished, done.end) == (NOW, NOW)
    bounce_list = local.accounts.get("acme").bounce_list
    query = BounceQuery(emails=("a@example.com",))
    assert local.bounces.delete(bounce_list, query, clock=shared) == 1
    assert _pull(local, reader, shared, is_full=True).rows == 1
    assert _rows(local) == []


def test_only_get_requests_are_sent(local, live, reader, clock) -> None:
    _put(live, *_many(3))
    _pull(local, reader, clock, has_blocks=True, is_full=True)

    assert {request.method for request in live.control.requests()} == {"GET"}


def test_later_pull_continues_with_an_overlap(local, live, reader, clock) -> None:
    _put(live, bounce("old@example.com", created=NOW - OVERLAP - 1))
    _pull(local, reader, clock)
    live.control.clear_requests()
    _put(live, bounce("late@example.com", created=NOW - OVERLAP))

    done = _pull(local, reader, clock)

    assert (done.start, done.end, done.rows) == (NOW - OVERLAP, NOW, 1)
    assert len(_rows(local)) == 2


def test_row_deleted_at_the_source_goes_only_with_full(
    local, live, reader, clock
) -> None:
    _put(live, *_many(20))
    _pull(local, reader, clock)
    _delete(live, "user3@example.com")

    assert _pull(local, reader, clock, since=0).removed == 0
    assert _pull(local, reader, clock, is_full=True).removed == 1
    assert _rows(local) == _rows(live.emulator.storage, "live")


def test_blocks_are_pulled_on_request(local, live, reader, clock) -> None:
    """And a full pull without them keeps the soft bounces of the list."""
    _put(live, bounce("soft@example.com", status="4.2.2", code="452"))
    assert _pull(local, reader, clock).rows == 0
    assert _pull(local, reader, clock, has_blocks=True, is_full=True).changed == 1
    assert _pull(local, reader, clock, is_full=True).removed == 0
    _delete(live, "soft@example.com")
    assert _pull(local, reader, clock, has_blocks=True, is_full=True).removed == 1


def test_many_blocks_are_stored_in_parts(
    local, live, reader, clock, monkeypatch
) -> None:
    """A part is in memory as a whole, and other writes wait for it."""
    soft = [replace(each, status="4.2.2", code="452") for each in _many(1_200, 3_600)]
    _put(live, bounce("hard@x", created=NOW - 1_800), *soft)
    monkeypatch.setattr(module, "MAX_PAGES", 1)
    sizes = []
    apply = PullStore.apply

    def apply_and_count(store, bounce_list, start, end, bounces, *rest, **options):
        sizes.append(len(bounces))
        return apply(store, bounce_list, start, end, bounces, *rest, **options)

    monkeypatch.setattr(PullStore, "apply", apply_and_count)
    assert _pull(local, reader, clock, has_blocks=True, is_full=True).changed == 1_201
    assert _rows(local) == _rows(live.emulator.storage, "live")
    assert max(sizes) < 600
    _delete(live, "hard@x")
    assert _pull(local, reader, clock, has_blocks=True, is_full=True).removed == 1


def test_many_bounces_are_removed_in_parts(
    local, live, reader, clock, monkeypatch
) -> None:
    """Other writes would wait until all are removed."""
    bounce_list = local.accounts.get("acme").bounce_list
    local.bounces.put(bounce_list, _many(30))
    monkeypatch.setattr(rows, "CHUNK_SIZE", 10)
    commits = []
    commit = type(local.engine)._commit
    monkeypatch.setattr(
        type(local.engine), "_commit", lambda *args: commits.append(1) or commit(*args)
    )
    assert _pull(local, reader, clock, is_full=True).removed == 30
    assert len(commits) >= 6  # the record of the pull, the window, three parts, the end


def test_text_of_a_window_is_limited(local, live, reader, clock, monkeypatch) -> None:
    """A window is in memory as a whole; a letter of it can take four bytes."""
    _put(live, bounce("a@example.com", reason="x" * 600), bounce("b@x", reason="ü"))
    monkeypatch.setattr(module, "MAX_TEXT", 900)
    assert _pull(local, reader, clock).rows == 2
    _put(live, bounce("b@x", reason="😀" + "y" * 100))
    with pytest.raises(PullError, match="too much text between"):
        _pull(local, reader, clock, is_full=True)


def test_local_deletion_holds_in_the_overlap(local, live, reader, clock) -> None:
    """The old program deletes an address; the next pull reads it again."""
    _put(live, bounce("a@example.com", created=NOW - 60))
    _pull(local, reader, clock)
    bounce_list = local.accounts.get("acme").bounce_list
    query = BounceQuery(emails=("a@example.com",))
    local.bounces.delete(bounce_list, query, clock=clock)

    assert _pull(local, reader, clock).changed == 0
    assert _rows(local) == []


def test_local_deletion_holds_during_the_first_pull(local, live, reader, clock) -> None:
    """The first pull of a large account takes minutes."""
    _put(live, bounce("a@example.com", created=NOW - 60))
    bounce_list = local.accounts.get("acme").bounce_list
    local.bounces.put(bounce_list, [bounce("a@example.com", created=NOW - 60)])
    read = reader.read

    def delete_and_read(*arguments):
        query = BounceQuery(emails=("a@example.com",))
        assert local.bounces.delete(bounce_list, query, clock=clock) == 1
        return read(*arguments)

    reader.read = delete_and_read
    assert _pull(local, reader, clock).changed == 0
    assert _rows(local) == []


def _remove(local: Storage) -> None:
    local.accounts.remove("acme")
    local.accounts.add("acme")


def _clear(local: Storage) -> None:
    def clear() -> None:
        local.contents.clear(RESET_TABLES)
        local.accounts.add("acme")
        local.contents.sweep()

    local.engine.transact(clear)


@pytest.mark.parametrize(
    "clear", [_remove, _clear, lambda local: local.snapshots.restore("empty")]
)
def test_pull_into_an_emptied_list_reads_everything(
    local, live, reader, clock, clear
) -> None:
    """The record of an earlier pull would exclude the old bounces."""
    _put(live, bounce("old@example.com", created=NOW - OVERLAP - 1))
    local.snapshots.take("empty", NOW)
    assert _pull(local, reader, clock).changed == 1
    clear(local)
    assert _rows(local) == []
    assert _pull(local, reader, clock).changed == 1


def test_record_of_a_domain_outlives_other_accounts(local, live, reader, clock) -> None:
    """The letter case of its name makes no difference."""
    local.accounts.add_domain("d.example", local.accounts.get("acme"))
    local.accounts.add("other")
    progress: list = []
    arguments = (Options(), clock, lambda *step: progress.append(step))
    pull(local, "D.Example", reader, *arguments)
    local.accounts.remove("other")
    assert pull(local, "D.Example", reader, *arguments).start == NOW - OVERLAP


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    "clear", [_remove, _clear, lambda local: local.snapshots.restore("empty")]
)
def test_pull_of_a_list_that_is_emptied_meanwhile_is_not_recorded(
    local, live, reader, clock, clear, is_first
) -> None:
    """The next one reads everything."""
    local.snapshots.take("empty", NOW)
    _put(live, bounce("old@example.com", created=NOW - OVERLAP - 1))
    if not is_first:
        _pull(local, reader, clock)
    read = reader.read

    def read_and_clear(*arguments):
        yield from read(*arguments)
        clear(local)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "read", read_and_clear)
        with pytest.raises(ConflictError):
            _pull(local, reader, clock)
    assert _pull(local, reader, clock).changed == 1


def test_restore_of_a_backup_ends_a_running_pull(
    local, live, reader, clock, tmp_path, monkeypatch
) -> None:
    """The backup has the record of the same pull, and an earlier state of the list."""
    _put(live, bounce("a@x"))
    read = reader.read

    def read_and_restore(*arguments):
        write_backup(local.engine, tmp_path / "backup")
        yield from read(*arguments)
        with open_backup(tmp_path / "backup") as backup:
            restore_backup(local, backup)

    with monkeypatch.context() as patch:
        patch.setattr(reader, "read", read_and_restore)
        with pytest.raises(ConflictError):
            _pull(local, reader, clock)
    assert _rows(local) == []
    assert _pull(local, reader, clock).changed == 1


def test_pull_that_waits_for_a_reset_forgets_the_one_before(
    local, live, reader, clock, database_url, monkeypatch
) -> None:
    """It would continue there, without the bounces that the reset has removed."""
    _put(live, bounce("old@x", created=NOW - 10 * OVERLAP))
    _pull(local, reader, clock)
    found = threading.Event()
    find = PullStore.find
    monkeypatch.setattr(PullStore, "find", lambda *args: [find(*args), found.set()][0])
    with (
        closing(open_storage(database_url)) as other,
        ThreadPoolExecutor(1) as pool,
    ):

        def reset() -> Future:
            pulled = pool.submit(_pull, local, reader, clock)
            found.wait(0.3)  # it is found too early, or the pull waits
            other.contents.remove_owned("acme")
            bounce_list = other.accounts.get("acme").bounce_list
            other.bounces.delete(bounce_list, BounceQuery(), clock=clock)
            return pulled

        assert other.accounts.transact(reset).result(20).changed == 1
    assert [row[0] for row in _rows(local)] == ["old@x"]


def test_dry_run_changes_nothing(local, live, reader, clock) -> None:
    _put(live, *_many(3))

    assert _pull(local, reader, clock, is_dry_run=True).rows == 3
    assert _rows(local) == []
    assert local.pulls.all() == []


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"status": 429}, {"malformed": True}]
)
def test_failed_requests_are_repeated(
    local, live, reader, clock, pauses, fault
) -> None:
    """With every third request failing, the result is the same."""
    _put(live, *_many(3_000))
    for skip in (2, 5, 8):
        live.control.add_fault({**fault, "skip": skip, "times": 1})

    assert _pull(local, reader, clock).changed == 3_000
    assert _rows(local) == _rows(live.emulator.storage, "live")
    assert pauses


def test_rate_limit_is_waited_for(local, live, reader, clock, pauses) -> None:
    """Until the instant in X-RateLimit-Reset."""
    live.control.reset_clock()
    live.control.add_fault({"limit": 0, "window_seconds": 30})
    with pytest.raises(PullError, match="429, after 10 attempts"):
        _pull(local, reader, clock)

    assert len(pauses) == module.MAX_ATTEMPTS - 1
    assert all(1 <= pause <= 31 for pause in pauses)


def test_failure_is_recorded_and_keeps_the_last_success(
    local, live, reader, clock, monkeypatch
) -> None:
    _pull(local, reader, clock)
    live.control.add_fault({"status": 403})
    clock.instant += 60

    with pytest.raises(PullError, match="403: the API key needs the scope"):
        _pull(local, reader, clock)
    (found,) = local.pulls.all()
    assert (found.finished, found.end, found.failed) == (NOW, NOW, NOW + 60)
    assert "suppression.bounces.read" in found.problem
    monkeypatch.setattr(PullStore, "all", None)  # other pulls are not read
    assert local.pulls.find(found.owner) == found
    assert local.pulls.find("nobody") is None


def test_unknown_owner_is_rejected(local, reader, clock) -> None:
    with pytest.raises(UnknownNameError):
        pull(local, "nobody", reader, Options(), clock, lambda *_: None)


def test_wrong_key_is_not_repeated_or_shown(local, live, clock, pauses) -> None:
    key = "SG.wrong-wrong-wrong"
    reader = Reader(key, sleep=pauses.append, transport=httpx.WSGITransport(app=live))

    with pytest.raises(PullError, match="401: the API key is missing") as raised:
        _pull(local, reader, clock)
    assert key not in str(raised.value)
    assert pauses == []


#: A megabyte in a thousand bytes.
BOMB = gzip.compress(b"[" + b" " * 1_000_000 + b"]")

ROW = {"created": NOW, "email": "a@example.com", "reason": "", "status": "5.1.1"}


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (httpx.Response(200, json={}), "not a JSON array"),
        (httpx.Response(200, json=[1]), "a row is not a JSON object"),
        (httpx.Response(200, json=[{**ROW, "created": "x"}]), "no valid email"),
        (
            httpx.Response(200, json=[{**ROW, "email": ""}]),
            f"the row created at {NOW} is invalid: email: must not be empty",
        ),
        (httpx.Response(200, text="<html>"), "not JSON, after 10 attempts"),
        (httpx.Response(200, json=[ROW] * 501), "ignores the parameter limit"),
        (
            httpx.Response(200, json=[{**ROW, "created": NOW + 1}]),
            "ignores .* end_time",
        ),
        (httpx.Response(302, headers={"Location": "//evil"}), "redirects"),
        (
            httpx.Response(200, content=b"[" + b"0," * 500_000),
            "more than 500000 values",
        ),
        (httpx.Response(200, content=b" " * (2**24 + 1)), "larger than 16777216 bytes"),
        (httpx.Response(404), "404: the API URL is wrong"),
        (httpx.Response(400), "answers 400$"),
        (httpx.Response(500), "answers 500, after 10 attempts"),
    ],
    ids=range(13),
)
def test_unusable_response_stops_the_pull(
    local, clock, pauses, response: httpx.Response, problem: str
) -> None:
    """In one line, with nothing stored or removed."""
    bounce_list = local.accounts.get("acme").bounce_list
    local.bounces.put(bounce_list, [bounce("kept@example.com")])

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(
            response.status_code, content=response.content, headers=response.headers
        )

    transport = httpx.MockTransport(answer)
    reader = Reader(KEY, sleep=pauses.append, transport=transport)
    with pytest.raises(PullError, match=problem):
        _pull(local, reader, clock, is_full=True)
    assert [row[0] for row in _rows(local)] == ["kept@example.com"]


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n[", b" "),
    ],
    ids=["interim responses", "fields", "chunks", "body"],
)
def test_response_takes_bounded_time(
    local, clock, pauses, monkeypatch, head: bytes, part: bytes
) -> None:
    """Its parts may arrive one by one, each within the timeout."""
    monkeypatch.setattr(module, "MAX_SECONDS", 0.1)
    monkeypatch.setattr(module, "MAX_ATTEMPTS", 2)

    def answer(server: socket.socket) -> None:
        for _ in range(module.MAX_ATTEMPTS):
            with closing(server.accept()[0]) as connection, suppress(OSError):
                connection.sendall(head)
                while True:
                    connection.sendall(part)
                    time.sleep(0.001)  # the fields of a head may have 100 KB

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        answered = pool.submit(answer, server)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with (
            closing(Reader(KEY, url, sleep=pauses.append)) as reader,
            pytest.raises(PullError, match="more than 0.1 seconds, after 2"),
        ):
            _pull(local, reader, clock)
        answered.result()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 %s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n%s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://xn--%s./\r\n\r\n",
    ],
    ids=["status line", "field", "chunk", "length", "redirect"],
)
def test_key_in_an_invalid_response_is_not_shown(
    local, clock, monkeypatch, answer: bytes
) -> None:
    """A proxy may repeat the header fields of a request."""
    monkeypatch.setattr(module, "MAX_ATTEMPTS", 1)

    def respond(server: socket.socket) -> None:
        with closing(server.accept()[0]) as connection:
            connection.recv(65_536)
            connection.sendall(answer % f"Bearer {KEY}".encode())

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        pool.submit(respond, server)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with closing(Reader(KEY, url)) as reader, pytest.raises(PullError) as raised:
            _pull(local, reader, clock)
    assert "the response is not valid HTTP" in str(raised.value)
    assert KEY not in str(raised.value)
    assert KEY not in str(local.pulls.all())


def test_cookies_are_not_parsed(local, clock, pauses) -> None:
    """Python's parser would print a traceback."""
    cookie = f"a=b; expires=Mon, 01-Jan-{'0' * 5_000} 00:00:00 GMT"
    answer = httpx.Response(200, json=[], headers={"Set-Cookie": cookie})
    transport = httpx.MockTransport(lambda _: answer)
    with (
        closing(Reader(KEY, sleep=pauses.append, transport=transport)) as reader,
        warnings.catch_warnings(record=True) as shown,
    ):
        _pull(local, reader, clock)
    assert shown == []


def test_connection_after_the_deadline_is_closed() -> None:
    deadline = module._Deadline()
    deadline._end()
    server_end, client_end = socket.socketpair()
    with server_end, client_end:
        stream = SimpleNamespace(get_extra_info=lambda _: client_end)
        deadline.trace("connection.connect_tcp.complete", {"return_value": stream})
        assert server_end.recv(1) == b""


def test_compressed_response_is_not_read(local, clock, pauses) -> None:
    """A small compressed response can have any size when it is decompressed."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        stream = httpx.ByteStream(BOMB)
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=stream)

    transport = httpx.MockTransport(answer)
    reader = Reader(KEY, sleep=pauses.append, transport=transport)
    with pytest.raises(PullError, match="the response is compressed"):
        _pull(local, reader, clock)


def test_server_that_ignores_the_offset_is_noticed(local, clock, pauses) -> None:
    page = [{**ROW, "email": f"{i}@example.com"} for i in range(500)]
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=page))
    reader = Reader(KEY, sleep=pauses.append, transport=transport)

    with pytest.raises(PullError, match="ignores the parameter offset"):
        _pull(local, reader, clock)
    assert _rows(local) == []


def test_rows_that_vanish_between_pages_lose_no_row(local, live, clock, pauses) -> None:
    """The window is read again if a page does not continue the page before it."""
    _put(live, *_many(1_200))
    wsgi = httpx.WSGITransport(app=live)
    calls = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        if len(calls) == 2:
            _delete(live, "user0@example.com")
        return wsgi.handle_request(request)

    reader = Reader(KEY, sleep=pauses.append, transport=httpx.MockTransport(answer))
    _pull(local, reader, clock)

    left = {row[0] for row in _rows(live.emulator.storage, "live")}
    assert left <= {row[0] for row in _rows(local)}


def test_incomplete_window_removes_nothing(local, live, clock, pauses) -> None:
    """Rows that move at every read make a window incomplete."""
    _put(live, *_many(1_200))
    wsgi = httpx.WSGITransport(app=live)

    def answer(request: httpx.Request) -> httpx.Response:
        if "offset=499" in str(request.url):
            for row in _rows(live.emulator.storage, "live")[-1:]:
                _delete(live, row[0])
            newest = _rows(live.emulator.storage, "live")
            _delete(live, max(newest, key=lambda row: row[3])[0])
        return wsgi.handle_request(request)

    bounce_list = local.accounts.get("acme").bounce_list
    local.bounces.put(bounce_list, [bounce("kept@example.com", created=NOW - 5)])
    reader = Reader(KEY, sleep=pauses.append, transport=httpx.MockTransport(answer))

    assert _pull(local, reader, clock, is_full=True).removed == 0
    assert "kept@example.com" in {row[0] for row in _rows(local)}


@pytest.mark.parametrize("key", ["", "a b", "k\u00e9y", "a\nb"])
def test_invalid_key_is_rejected(key: str) -> None:
    with pytest.raises(PullError, match="visible ASCII characters"):
        Reader(key)


def test_invalid_url_is_rejected() -> None:
    for url in (
        "ftp://example.com",
        "example.com",
        "http://",
        "file:///etc/passwd",
        "https://a..b",
    ):
        with pytest.raises(PullError, match="the API URL"):
            Reader(KEY, url)


@pytest.mark.parametrize(
    "host", ["api.sendgrid.com", "192.0.2.1", "[2001:db8::1]", "127.evil.example"]
)
def test_key_is_not_sent_over_a_network_in_clear_text(host: str) -> None:
    with pytest.raises(PullError, match="must begin with https://"):
        Reader(KEY, f"http://{host}")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000"])
def test_http_is_for_this_machine(host: str) -> None:
    Reader(KEY, f"http://{host}").close()


def test_requests_have_the_documented_form(local, clock, pauses) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=json.loads("[]"))

    transport = httpx.MockTransport(answer)
    reader = Reader(KEY, sleep=pauses.append, transport=transport)
    _pull(local, reader, clock, since=NOW - 10)

    (request,) = requests
    assert str(request.url) == (
        "https://api.sendgrid.com/v3/suppression/bounces"
        f"?start_time={NOW - 10}&end_time={NOW}&limit=500&offset=0"
    )
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
