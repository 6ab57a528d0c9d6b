"""The server in the process of a test suite, and its test accounts."""

import gc
import http.client
import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import requests
from conftest import NOW
from live import TIMEOUT

from sendgrid_bounces.core.errors import (
    NameTakenError,
    ParametersError,
    UnknownNameError,
)
from sendgrid_bounces.storage.accounts import AccountStore
from sendgrid_bounces.storage.bounces import BounceStore
from sendgrid_bounces.testing import EmulatorServer, TestAccount
from sendgrid_bounces.testing import server as module

pytestmark = pytest.mark.server

SEED = "accounts: [{username: acme, api_key: s3cret, bounces: [{email: a@x}]}]"


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            error.text = error.read().decode()
        raise


def _count(account: TestAccount) -> str:
    target = f"/api/bounces.count.json?api_user={account.username}"
    return _get(f"{account.url}{target}&api_key={account.api_key}")


@pytest.fixture(name="server")
def _server():
    with EmulatorServer() as server:
        yield server


def test_stopped_server_leaves_no_resources(tmp_path: Path, monkeypatch) -> None:
    """Threads, files and sockets are gone, even if clients hold connections open."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(threading.enumerate())
    gc.collect()  # files that earlier tests left open
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with EmulatorServer(seed=SEED) as server:
        url = f"{server.url}/api/bounces.count.json?api_user=acme&api_key=s3cret"
        assert json.loads(_get(url)) == {"count": "1"}
        assert list(tmp_path.iterdir())
        idle = socket.create_connection(server.address)
        idle.sendall(b"GET /half")
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(_get, [url] * 64))) == 1

    assert list(tmp_path.iterdir()) == []
    assert set(threading.enumerate()) == before
    assert idle.recv(1) == b""
    idle.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert not caught
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    with pytest.raises(urllib.error.URLError):
        _get(url)


def test_server_can_be_restarted() -> None:
    """Stopping twice has no effect; a stopped server has no URL."""
    server = EmulatorServer()
    with pytest.raises(RuntimeError, match="call start"):
        server.url  # noqa: B018
    for _ in range(2):
        assert '"ok"' in _get(f"{server.start().url}/_emulator/health")
        with pytest.raises(RuntimeError, match="already running"):
            server.start()
        server.stop()
        server.stop()


def test_silent_clients_are_disconnected(monkeypatch) -> None:
    """Each of them occupies a thread."""
    assert module._Handler.timeout == module.IDLE_TIMEOUT
    monkeypatch.setattr(module._Handler, "timeout", 0.1)
    with ExitStack() as stack:
        server = stack.enter_context(EmulatorServer())
        for _ in range(module.THREADS):
            client = socket.create_connection(server.address)
            stack.enter_context(client).sendall(b"GET / ")
        requests.get(f"{server.url}/_emulator/health", timeout=TIMEOUT)
        server.stop()


def test_port_in_use_is_an_error(server: EmulatorServer) -> None:
    """Werkzeug would end the process."""
    with pytest.raises(OSError, match="in use"):
        EmulatorServer(int(server.url.rpartition(":")[2])).start()


@pytest.mark.parametrize(
    "options", [{"seed": "accounts: 1\n"}, {"profile": "x"}, {"seed": "/no/such.yaml"}]
)
def test_invalid_option_leaves_no_resources(
    tmp_path: Path, monkeypatch, options
) -> None:
    """Starting the server raises ParametersError."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(threading.enumerate())
    with pytest.raises(ParametersError):
        EmulatorServer(**options).start()
    assert list(tmp_path.iterdir()) == []
    assert set(threading.enumerate()) == before


def test_given_database_is_kept(engine: str, database_url: str) -> None:
    """The next server on the same database finds the accounts of the first one."""
    for _ in range(2):
        with EmulatorServer(database=database_url, seed=SEED, auth="any") as server:
            url = f"{server.url}/api/bounces.count.json?api_user=acme&api_key=s3cret"
            assert json.loads(_get(url)) == {"count": "1"}


def test_server_listens_on_ipv6() -> None:
    """The URL has the address in brackets."""
    with EmulatorServer(host="::1") as server:
        assert '"ok"' in _get(f"{server.url}/_emulator/health")


def test_both_vendors_share_the_list(server: EmulatorServer) -> None:
    """Closing the test account removes its account and its domain."""
    with server.double() as account:
        added = account.add("a@example.com", status="4.0.0", reason="no route")
        assert account.bounces() == [added]
        assert _count(account) == '{"count": "1"}'
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        token = f"api:{account.api_key}".encode()
        basic = {
            "Authorization": f"Basic {__import__('base64').b64encode(token).decode()}"
        }
        connection.request(
            "DELETE", f"/v3/{account.domain}/bounces/a@example.com", None, basic
        )
        assert connection.getresponse().status == 200
        connection.close()
        assert account.bounces() == []
    assert server.emulator.storage.accounts.all() == []
    assert server.emulator.storage.accounts.domains() == []


def test_accounts_are_isolated(server: EmulatorServer) -> None:
    """Each test account has its own names and its own list."""
    with server.double() as one, server.double() as other:
        one.add("a@example.com")
        assert (_count(one), _count(other)) == ('{"count": "1"}', '{"count": "0"}')


@pytest.mark.parametrize(
    "created",
    [
        "2012-02-15 12:00:00",
        "2012-02-15T12:00:00Z",
        NOW,
        NOW + 0.9,
        datetime(2012, 2, 15, 12),
        datetime(2012, 2, 15, 13, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_creation_time_takes_several_types(server: EmulatorServer, created) -> None:
    """Text, numbers and datetimes are accepted; without a time zone they are UTC."""
    with server.double() as account:
        assert account.add("a@example.com", created=created).created == NOW


def test_invalid_bounce_is_rejected(server: EmulatorServer) -> None:
    """The error names the argument, and the list stays empty."""
    with server.double() as account:
        for invalid in ({"created": "yesterday"}, {"code": True}, {"status": "x" * 40}):
            with pytest.raises(ParametersError, match=next(iter(invalid))):
                account.add("a@example.com", **invalid)
        with pytest.raises(ParametersError, match="email"):
            account.add("")
        assert account.bounces() == []


def test_account_names_can_be_chosen(server: EmulatorServer) -> None:
    """Code under test may have a configured account, key and domain."""
    names = {"username": "acme", "api_key": "s3cret", "domain": "MG.example.com"}
    for profile, count in (
        ("recorded", '{"count": 0}'),
        ("documented", '{"count": "0"}'),
    ):
        with server.double(profile=profile, **names) as account:
            assert (account.username, account.domain) == ("acme", "mg.example.com")
            assert _count(account) == count
            with pytest.raises(NameTakenError):
                server.double(**names)
    with pytest.raises(ParametersError, match="documented, recorded, or points"):
        server.double(profile="other")


@pytest.mark.parametrize(
    "form",
    [
        lambda folder: SEED,
        lambda folder: folder / "seed.yaml",
        lambda folder: str(folder / "seed.yaml"),
        lambda folder: {"accounts": [{"username": "acme"}]},
    ],
)
def test_seed_of_an_account_is_loaded_and_removed(
    server: EmulatorServer, tmp_path: Path, form
) -> None:
    """A seed is text, a path or a mapping."""
    (tmp_path / "seed.yaml").write_text(SEED)
    accounts = server.emulator.storage.accounts
    for _ in range(2):
        with server.double(seed=form(tmp_path)):
            assert accounts.get("acme")
        assert accounts.all() == []


def test_seed_with_an_existing_account_is_rejected(tmp_path: Path) -> None:
    """Closing would remove the existing account; no test account is created."""
    with EmulatorServer(seed=SEED) as server:
        with pytest.raises(NameTakenError, match="'acme', which already exists"):
            server.double(seed=SEED)
        assert [a.username for a in server.emulator.storage.accounts.all()] == ["acme"]


def test_exception_in_the_emulator_is_raised_on_close(
    server: EmulatorServer, monkeypatch
) -> None:
    """It is raised once; the client receives a 500 in the vendor's format."""

    def fail(*_: object, **__: object) -> int:
        raise ZeroDivisionError("injected")

    account = server.double()
    with monkeypatch.context() as patch:
        patch.setattr(BounceStore, "count", fail)
        with pytest.raises(urllib.error.HTTPError) as refused:
            _count(account)
        assert refused.value.code == 500
        assert json.loads(refused.value.text)["message"] == "error"
    with pytest.raises(ZeroDivisionError, match="injected"):
        account.close()
    with server.double() as after:
        assert _count(after) == '{"count": "0"}'


def test_exception_without_an_account_is_raised_by_stop(tmp_path, monkeypatch) -> None:
    """The temporary files are removed nevertheless."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server = EmulatorServer(seed=SEED).start()
    with monkeypatch.context() as patch:
        patch.setattr(BounceStore, "count", lambda *_: 1 / 0)
        with pytest.raises(urllib.error.HTTPError):
            _get(f"{server.url}/api/bounces.count.json?api_user=acme&api_key=s3cret")
    with pytest.raises(ZeroDivisionError):
        server.stop()
    assert list(tmp_path.iterdir()) == []


def test_exception_in_a_stream_is_raised(server: EmulatorServer, monkeypatch) -> None:
    """The exception occurs after the first rows are sent."""
    find = BounceStore.find_brief

    def fail(*args, **options):
        # Nine batches are more than the response buffers before it sends them.
        yield from [next(find(*args, **options))] * 9
        raise ZeroDivisionError("injected")

    account = server.double()
    for n in range(3):
        account.add(f"{n}@example.com")
    monkeypatch.setattr(BounceStore, "find_brief", fail)
    url = f"{account.url}/api/bounces.get.json?api_user={account.username}&api_key={account.api_key}"
    with pytest.raises((OSError, http.client.HTTPException)):
        _get(url)
    with pytest.raises(ZeroDivisionError, match="injected"):
        account.close()


def test_error_responses_are_not_exceptions(server: EmulatorServer) -> None:
    """Many tests expect a status of 400 or more."""
    with server.double() as account:
        for target in ("/api/bounces.get.json", "/api/nothing", "/v3/d/bounces"):
            with pytest.raises(urllib.error.HTTPError):
                _get(server.url + target)
        server.check()
        assert account.bounces() == []


def test_account_is_created_and_removed_as_other_changes_wait(
    server: EmulatorServer, monkeypatch
) -> None:
    """On MariaDB, test processes that share a database would lock each other out."""
    calls = []
    transact = AccountStore.transact

    def record(store: AccountStore, action):
        calls.append(action.__name__)
        return transact(store, action)

    monkeypatch.setattr(AccountStore, "transact", record)
    server.double().close()
    assert [name for name in calls if name in ("create", "remove")] == [
        "create",
        "remove",
    ]


def test_account_removed_by_the_test_can_be_closed(server: EmulatorServer) -> None:
    """Closing ignores accounts that no longer exist."""
    with server.double() as account:
        server.emulator.storage.accounts.remove(account.username)
    with pytest.raises(UnknownNameError):
        server.emulator.storage.accounts.get(account.username)


def test_requests_are_those_of_the_account(server: EmulatorServer) -> None:
    """Requests to both vendors are listed, keys redacted, and none of other tests."""
    for _ in range(2):
        with server.double(username="acme") as account, server.double() as other:
            assert account.requests == []
            _count(account)
            _count(other)
            with pytest.raises(urllib.error.HTTPError):
                _get(f"{account.url}/v3/{account.domain}/bounces")
            seen = [(e.dialect, e.operation, e.status) for e in account.requests]
            assert seen == [
                ("sendgrid.direct", "count", 200),
                ("mailgun.v3", "list", 401),
            ]
            assert account.requests[0].parameters == {
                "api_user": "acme",
                "api_key": "***",
            }


def test_full_request_log_holds_the_latest_requests(server: EmulatorServer) -> None:
    """Requests of an earlier test with the same user name are not listed."""
    object.__setattr__(server.emulator.config, "journal_size", 5)
    with server.double():
        for _ in range(2):
            with server.double(username="acme") as account:
                for sent in range(1, 9):
                    _count(account)
                    assert len(account.requests) == min(sent, 5)


def test_failed_close_still_resets_the_server(
    server: EmulatorServer, monkeypatch
) -> None:
    """The next test account finds no snapshots."""
    account = server.double()
    account.control.take_snapshot("left")
    with monkeypatch.context() as patch:
        patch.setattr(AccountStore, "remove", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            account.close()
    with server.double() as after:
        assert after.control.snapshots() == []


def test_account_can_be_closed_after_its_server() -> None:
    """A unittest fixture may tear down in the order of its set-up."""
    server = EmulatorServer().start()
    account = server.double()
    server.stop()
    account.close()


def test_unstopped_server_leaves_no_files(tmp_path: Path) -> None:
    """Its temporary folder is removed at exit."""
    script = (
        "from sendgrid_bounces.testing import EmulatorServer\n"
        "server = EmulatorServer().start()\n"
        "raise SystemExit(7)"
    )
    environment = {"TMPDIR": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, env=environment, timeout=TIMEOUT, check=False)

    assert ended.returncode == 7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda account: account.advance("an hour"),
            "duration: must be a duration such as",
        ),
        (
            lambda account: account.advance(float("inf")),
            "seconds: must be a finite number",
        ),
        (
            lambda account: account.freeze(float("nan")),
            "instant: must be a time such as",
        ),
        (lambda account: account.fail_next(), "must have an effect: 'status'"),
    ],
)
def test_invalid_argument_is_named(server, call, message: str) -> None:
    """The error begins with the name of the argument."""
    with server.double() as account:
        with pytest.raises(ParametersError) as raised:
            call(account)
        assert str(raised.value).startswith(message)
        assert account.advance("PT1H") > account.freeze(0)


def test_faults_and_the_clock_are_reset_on_close(server: EmulatorServer) -> None:
    """Faults affect both vendors' requests to the account, and no other account."""
    with server.double(unused_faults="ignore") as account, server.double() as other:
        account.fail_next(503, times=2)
        for path in (
            "/api/bounces.count.json?api_user=" + account.username,
            f"/v3/{account.domain}/bounces",
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                _get(account.url + path)
            assert refused.value.code == 503
        assert _count(account) == _count(other) == '{"count": "0"}'
        account.fail_next(500, times=9)
        account.fail_next(500, account="acme", email="*@x.com")
        with pytest.raises(ParametersError, match="status"):
            account.fail_next(200)
        assert account.freeze("2012-02-15 12:00:00") == NOW
        assert account.advance(60) == NOW + 60
        assert other.add("a@example.com").created == NOW + 60
        assert account.freeze() == NOW + 60
        assert account.advance(timedelta(minutes=1)) == NOW + 120
        assert account.advance(1.5) == NOW + 121
        assert account.freeze(NOW + 0.5) == NOW
        with pytest.raises(ParametersError, match="instant"):
            account.freeze("noon")
    assert server.control.faults() == []
    assert not server.control.clock().frozen
    assert server.control.clock().now > NOW + 10**8


def test_control_operations_are_undone_on_close(server: EmulatorServer) -> None:
    """Faults, clock, accounts, request log and snapshots of the server are reset."""
    with server.double() as account:
        account.control.add_fault({"status": 503, "operation": "get"})
        account.control.freeze(NOW)
        account.control.seed({"accounts": [{"username": "acme"}]})
        account.control.take_snapshot("before")
        _count(account)
    control = server.control
    assert (control.faults(), control.requests(), control.snapshots()) == ([], [], [])
    assert not control.clock().frozen
    assert control.counts().accounts == 0


def test_account_uses_the_list_of_a_restored_snapshot(server: EmulatorServer) -> None:
    """After a reset, which removes the account, its methods raise UnknownNameError."""
    with server.double() as account:
        account.add("a@example.com")
        account.control.take_snapshot("before")
        account.add("b@example.com")
        account.control.restore_snapshot("before")
        assert [bounce.email for bounce in account.bounces()] == ["a@example.com"]
        account.add("c@example.com")
        assert _count(account) == '{"count": "2"}'
        account.control.reset()
        with pytest.raises(UnknownNameError, match=account.username):
            account.add("d@example.com")
        with pytest.raises(UnknownNameError, match=account.username):
            account.bounces()


def test_invalid_fault_is_rejected(server: EmulatorServer) -> None:
    """The error begins with the name of the field."""
    rejected = pytest.raises(ParametersError, match=r"\Astatus: ")
    with server.double() as account, rejected:
        account.fail_next(200)


@pytest.mark.parametrize(
    "form",
    [
        SEED,
        json.dumps(
            {
                "accounts": [
                    {
                        "username": "acme",
                        "api_key": "s3cret",
                        "bounces": [{"email": "a@x"}],
                    }
                ]
            }
        ),
    ],
)
def test_seed_of_the_server_is_restored(form: str) -> None:
    """Changes of a test and accounts created on first use are undone."""
    call = "/api/bounces.{}.json?api_user={}&api_key=s3cret"
    with EmulatorServer(seed=form, auth="any") as server:
        for _ in range(2):
            with server.double(), server.double():
                assert (
                    _get(server.url + call.format("count", "acme")) == '{"count": "1"}'
                )
                assert "success" in _get(server.url + call.format("delete", "acme"))
                assert (
                    _get(server.url + call.format("count", "new")) == '{"count": "0"}'
                )
            assert [a.username for a in server.emulator.storage.accounts.all()] == [
                "acme"
            ]


def test_seed_is_restored_after_a_failed_creation(tmp_path: Path) -> None:
    """A test account that was never created is not counted as open."""
    with EmulatorServer(seed=SEED) as server:
        with pytest.raises(NameTakenError):
            server.double(username="acme")
        with server.double():
            _get(f"{server.url}/api/bounces.delete.json?api_user=acme&api_key=s3cret")
        url = f"{server.url}/api/bounces.count.json?api_user=acme&api_key=s3cret"
        assert _get(url) == '{"count": "1"}'


def test_given_database_is_not_reset(engine: str, database_url: str) -> None:
    """Only the test account itself is removed: other programs may use the database."""
    with EmulatorServer(database=database_url, auth="any") as server:
        with server.double():
            _get(f"{server.url}/api/bounces.count.json?api_user=new&api_key=s3cret")
        assert [a.username for a in server.emulator.storage.accounts.all()] == ["new"]


def test_unknown_name_is_an_attribute_error() -> None:
    """The package has a module-level __getattr__."""
    import sendgrid_bounces.testing as package

    with pytest.raises(AttributeError, match="nothing_such"):
        package.nothing_such  # noqa: B018


def test_wrong_keys_of_a_test_do_not_limit_the_next_one() -> None:
    def call(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{server.url}/v3/suppression/bounces"
        return requests.get(url, headers=headers, timeout=10).status_code

    with EmulatorServer() as server, server.double():  # of another test
        with server.double() as account:
            statuses = [call(f"wrong {n}") for n in range(20)]
            assert statuses == [401] * 20
            assert call(account.api_key) == 429
        with server.double() as account:
            assert call(account.api_key) == 200
