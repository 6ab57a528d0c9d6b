"""What test suites import: a server of their process, and the fixtures of pytest."""

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
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
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

SEED = "accounts: [{username: acme, api_key: s3cret, bounces: [{email: a@x}]}]"


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            error.text = error.read().decode()
        raise


def _count(double: TestAccount) -> str:
    target = f"/api/bounces.count.json?api_user={double.username}"
    return _get(f"{double.url}{target}&api_key={double.api_key}")


@pytest.fixture(name="server")
def _server():
    with EmulatorServer() as server:
        yield server


def test_a_server_answers_when_it_is_started_and_leaves_nothing(
    tmp_path: Path, monkeypatch
) -> None:
    """No thread, no file and no socket, whatever its clients still hold open."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(threading.enumerate())
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
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gc.collect()
    assert not told
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    with pytest.raises(urllib.error.URLError):
        _get(url)


def test_a_server_can_be_started_again() -> None:
    """Stopping twice is nothing; without start there is no URL."""
    server = EmulatorServer()
    with pytest.raises(RuntimeError, match="call start"):
        server.url  # noqa: B018
    for _ in range(2):
        assert '"ok"' in _get(f"{server.start().url}/_emulator/health")
        with pytest.raises(RuntimeError, match="running already"):
            server.start()
        server.stop()
        server.stop()


def test_a_port_that_is_taken_is_an_error(server: EmulatorServer) -> None:
    """And not the end of the process."""
    with pytest.raises(OSError, match="in use"):
        EmulatorServer(int(server.url.rpartition(":")[2])).start()


@pytest.mark.parametrize(
    "options", [{"seed": "accounts: 1\n"}, {"profile": "x"}, {"seed": "/no/such.yaml"}]
)
def test_a_wrong_option_leaves_nothing_behind(
    tmp_path: Path, monkeypatch, options
) -> None:
    """It is an error that names the option's fault."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(threading.enumerate())
    with pytest.raises(ParametersError):
        EmulatorServer(**options).start()
    assert list(tmp_path.iterdir()) == []
    assert set(threading.enumerate()) == before


def test_a_server_on_a_database_of_its_callers(engine: str, database_url: str) -> None:
    """Of both products; what it holds is there for the next one."""
    for _ in range(2):
        with EmulatorServer(database=database_url, seed=SEED, auth="any") as server:
            url = f"{server.url}/api/bounces.count.json?api_user=acme&api_key=s3cret"
            assert json.loads(_get(url)) == {"count": "1"}


def test_a_server_speaks_ipv6() -> None:
    """Its URL can be used as it is."""
    with EmulatorServer(host="::1") as server:
        assert '"ok"' in _get(f"{server.url}/_emulator/health")


def test_a_double_is_one_list_for_both_vendors(server: EmulatorServer) -> None:
    """What it holds is seen by SendGrid's and by Mailgun's calls, and is gone with it."""
    with server.double() as double:
        added = double.add("a@example.com", status="4.0.0", reason="no route")
        assert double.bounces() == [added]
        assert _count(double) == '{"count": "1"}'
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        token = f"api:{double.api_key}".encode()
        basic = {
            "Authorization": f"Basic {__import__('base64').b64encode(token).decode()}"
        }
        connection.request(
            "DELETE", f"/v3/{double.domain}/bounces/a@example.com", None, basic
        )
        assert connection.getresponse().status == 200
        connection.close()
        assert double.bounces() == []
    assert server.emulator.storage.accounts.all() == []
    assert server.emulator.storage.accounts.domains() == []


def test_doubles_do_not_see_each_other(server: EmulatorServer) -> None:
    """Each has its own names and its own list."""
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
def test_a_bounce_can_be_of_any_time(server: EmulatorServer, created) -> None:
    """Told as text, as an instant, or as a datetime, which is UTC if it says nothing."""
    with server.double() as double:
        assert double.add("a@example.com", created=created).created == NOW


def test_a_bounce_is_checked_at_the_door(server: EmulatorServer) -> None:
    """Each argument that is wrong is named."""
    with server.double() as double:
        for wrong in ({"created": "yesterday"}, {"code": True}, {"status": "x" * 40}):
            with pytest.raises(ParametersError, match=next(iter(wrong))):
                double.add("a@example.com", **wrong)
        with pytest.raises(ParametersError, match="email"):
            double.add("")
        assert double.bounces() == []


def test_a_double_takes_the_names_that_a_program_has(server: EmulatorServer) -> None:
    """An account, a key and a domain that the code under test is configured with."""
    names = {"username": "acme", "api_key": "s3cret", "domain": "MG.example.com"}
    for profile, count in (
        ("recorded", '{"count": 0}'),
        ("documented", '{"count": "0"}'),
    ):
        with server.double(profile=profile, **names) as double:
            assert (double.username, double.domain) == ("acme", "mg.example.com")
            assert _count(double) == count
            with pytest.raises(NameTakenError):
                server.double(**names)
    with pytest.raises(ParametersError, match="documented or recorded"):
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
def test_a_double_brings_a_seed(server: EmulatorServer, tmp_path: Path, form) -> None:
    """A text, a path or a mapping; it goes with the double."""
    (tmp_path / "seed.yaml").write_text(SEED)
    accounts = server.emulator.storage.accounts
    for _ in range(2):
        with server.double(seed=form(tmp_path)):
            assert accounts.get("acme")
        assert accounts.all() == []


def test_a_seed_of_what_is_there_is_refused(tmp_path: Path) -> None:
    """It could not be taken away again; the double is not there either."""
    with EmulatorServer(seed=SEED) as server:
        with pytest.raises(NameTakenError, match="'acme', which is there already"):
            server.double(seed=SEED)
        assert [a.username for a in server.emulator.storage.accounts.all()] == ["acme"]


def test_a_mistake_in_the_emulator_is_raised(
    server: EmulatorServer, monkeypatch
) -> None:
    """In the test that it hit, once; its client hears of a 500 in the vendor's words."""

    def fail(*_: object, **__: object) -> int:
        raise ZeroDivisionError("a mistake")

    double = server.double()
    with monkeypatch.context() as patch:
        patch.setattr(BounceStore, "count", fail)
        with pytest.raises(urllib.error.HTTPError) as refused:
            _count(double)
        assert refused.value.code == 500
        assert json.loads(refused.value.text)["message"] == "error"
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        double.close()
    with server.double() as after:
        assert _count(after) == '{"count": "0"}'


def test_a_mistake_without_a_double_is_raised_by_stop(tmp_path, monkeypatch) -> None:
    """As tests of unittest start and stop a server; all is cleaned up nevertheless."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server = EmulatorServer(seed=SEED).start()
    with monkeypatch.context() as patch:
        patch.setattr(BounceStore, "count", lambda *_: 1 / 0)
        with pytest.raises(urllib.error.HTTPError):
            _get(f"{server.url}/api/bounces.count.json?api_user=acme&api_key=s3cret")
    with pytest.raises(ZeroDivisionError):
        server.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_amid_a_stream_is_raised(server: EmulatorServer, monkeypatch) -> None:
    """Although the first rows are sent already."""
    find = BounceStore.find_brief

    def fail(*args, **options):
        yield from [
            next(find(*args, **options))
        ] * 9  # more than is made before it is sent
        raise ZeroDivisionError("a mistake")

    double = server.double()
    for n in range(3):
        double.add(f"{n}@example.com")
    monkeypatch.setattr(BounceStore, "find_brief", fail)
    url = f"{double.url}/api/bounces.get.json?api_user={double.username}&api_key={double.api_key}"
    with pytest.raises((OSError, http.client.HTTPException)):
        _get(url)
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        double.close()


def test_what_the_emulator_refuses_is_no_mistake(server: EmulatorServer) -> None:
    """Statuses of 400 and more are what many tests are about."""
    with server.double() as double:
        for target in ("/api/bounces.get.json", "/api/nothing", "/v3/d/bounces"):
            with pytest.raises(urllib.error.HTTPError):
                _get(server.url + target)
        server.check()
        assert double.bounces() == []


def test_a_removed_account_is_no_error(server: EmulatorServer) -> None:
    """When a test has removed it itself."""
    with server.double() as double:
        server.emulator.storage.accounts.remove(double.username)
    with pytest.raises(UnknownNameError):
        server.emulator.storage.accounts.get(double.username)


def test_requests_are_those_of_the_test(server: EmulatorServer) -> None:
    """With their keys masked, of both vendors, and not those of another test."""
    for _ in range(2):
        with server.double(username="acme") as double, server.double() as other:
            assert double.requests == []
            _count(double)
            _count(other)
            with pytest.raises(urllib.error.HTTPError):
                _get(f"{double.url}/v3/{double.domain}/bounces")
            seen = [(e.dialect, e.operation, e.status) for e in double.requests]
            assert seen == [
                ("sendgrid.direct", "count", 200),
                ("mailgun.v3", "list", 401),
            ]
            assert double.requests[0].parameters == {
                "api_user": "acme",
                "api_key": "***",
            }


def test_requests_are_there_when_the_ring_has_turned(server: EmulatorServer) -> None:
    """The last ones, whatever other tests of the name have done before."""
    object.__setattr__(server.emulator, "request_log_size", 5)  # of a frozen dataclass
    with server.double():
        for _ in range(2):
            with server.double(username="acme") as double:
                for made in range(1, 9):
                    _count(double)
                    assert len(double.requests) == min(made, 5)


def test_a_double_that_cannot_clean_up_counts_no_more(
    server: EmulatorServer, monkeypatch
) -> None:
    """The next one finds what the first one would have found."""
    double = server.double()
    double.control.take_snapshot("left")
    with monkeypatch.context() as patch:
        patch.setattr(AccountStore, "remove", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            double.close()
    with server.double() as after:
        assert after.control.snapshots() == []


def test_a_double_can_be_closed_after_its_server() -> None:
    """As tests of unittest tear down in the order in which they set up."""
    server = EmulatorServer().start()
    double = server.double()
    server.stop()
    double.close()


def test_a_server_that_is_never_stopped_leaves_nothing(tmp_path: Path) -> None:
    """Its folder goes with the process."""
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
    ("call", "words"),
    [
        (lambda double: double.advance("an hour"), "duration: must be an ISO 8601"),
        (lambda double: double.advance(float("inf")), "seconds: must be a number"),
        (lambda double: double.freeze(float("nan")), "instant: must be a number"),
        (lambda double: double.fail_next(), "needs an effect: one of status"),
    ],
)
def test_a_wrong_argument_is_told_by_its_name(server, call, words: str) -> None:
    """Not by what went wrong inside."""
    with server.double() as double:
        with pytest.raises(ParametersError) as raised:
            call(double)
        assert str(raised.value).startswith(words)
        assert double.advance("PT1H") > double.freeze(0)


def test_faults_and_the_clock_go_with_the_test(server: EmulatorServer) -> None:
    """Both vendors' calls fail, those of others do not, and then none does."""
    with server.double() as double, server.double() as other:
        double.fail_next(503, times=2)
        for path in (
            "/api/bounces.count.json?api_user=" + double.username,
            f"/v3/{double.domain}/bounces",
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                _get(double.url + path)
            assert refused.value.code == 503
        assert _count(double) == _count(other) == '{"count": "0"}'
        double.fail_next(500, times=9)
        double.fail_next(500, account="acme", email="*@x.com")
        with pytest.raises(ParametersError, match="status"):
            double.fail_next(200)
        assert double.freeze("2012-02-15 12:00:00") == NOW
        assert double.advance(60) == NOW + 60
        assert other.add("a@example.com").created == NOW + 60
        assert double.freeze() == NOW + 60
        assert double.advance(timedelta(minutes=1)) == NOW + 120
        assert double.advance(1.5) == NOW + 121
        assert double.freeze(NOW + 0.5) == NOW
        with pytest.raises(ParametersError, match="instant"):
            double.freeze("noon")
    assert server.control.faults() == []
    assert not server.control.clock().frozen
    assert server.control.clock().now > NOW + 10**8


def test_what_is_done_by_control_goes_with_the_test(server: EmulatorServer) -> None:
    """Faults, the clock, accounts, the journal and snapshots of the whole server."""
    with server.double() as double:
        double.control.add_fault({"status": 503, "operation": "get"})
        double.control.freeze(NOW)
        double.control.seed({"accounts": [{"username": "acme"}]})
        double.control.take_snapshot("before")
        _count(double)
    control = server.control
    assert (control.faults(), control.requests(), control.snapshots()) == ([], [], [])
    assert not control.clock().frozen
    assert control.counts().accounts == 0


def test_a_double_finds_its_list_again(server: EmulatorServer) -> None:
    """A restored snapshot gives its account another; a reset takes the account away."""
    with server.double() as double:
        double.add("a@example.com")
        double.control.take_snapshot("before")
        double.add("b@example.com")
        double.control.restore_snapshot("before")
        assert [bounce.email for bounce in double.bounces()] == ["a@example.com"]
        double.add("c@example.com")
        assert _count(double) == '{"count": "2"}'
        double.control.reset()
        with pytest.raises(UnknownNameError, match=double.username):
            double.add("d@example.com")
        with pytest.raises(UnknownNameError, match=double.username):
            double.bounces()


def test_a_wrong_rule_is_told_by_its_fields(server: EmulatorServer) -> None:
    """Not as if it stood in a list."""
    wrong = pytest.raises(ParametersError, match=r"\Astatus: ")
    with server.double() as double, wrong:
        double.fail_next(200)


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
def test_the_servers_seed_comes_back(form: str) -> None:
    """What a test did to it, and accounts that came on first use, are no more."""
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


def test_a_double_that_cannot_be_does_not_count(tmp_path: Path) -> None:
    """The seed comes back after the others nevertheless."""
    with EmulatorServer(seed=SEED) as server:
        with pytest.raises(NameTakenError):
            server.double(username="acme")
        with server.double():
            _get(f"{server.url}/api/bounces.delete.json?api_user=acme&api_key=s3cret")
        url = f"{server.url}/api/bounces.count.json?api_user=acme&api_key=s3cret"
        assert _get(url) == '{"count": "1"}'


def test_a_database_of_its_callers_is_not_reset(engine: str, database_url: str) -> None:
    """Others may use it; only what is the double's is removed."""
    with EmulatorServer(database=database_url, auth="any") as server:
        with server.double():
            _get(f"{server.url}/api/bounces.count.json?api_user=new&api_key=s3cret")
        assert [a.username for a in server.emulator.storage.accounts.all()] == ["new"]


def _run(folder: Path, *args: str, **files: str) -> subprocess.CompletedProcess:
    """Run pytest on *files* in a process of its own, strictly."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-W",
            "error",
            "--strict-markers",
            "--strict-config",
            *args,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 4,
        check=False,
    )


SUITE = """
import json, os, pytest
from urllib.request import urlopen

def count(double, **more):
    url = f"{double.url}/api/bounces.count.json?api_user={double.username}&api_key={double.api_key}"
    return json.load(urlopen(url))["count"]

@pytest.mark.parametrize("n", range(40))
def test_alone(sendgrid_bounces, n):
    assert count(sendgrid_bounces) == "0"
    for m in range(n % 3 + 1):
        sendgrid_bounces.add(f"{m}@example.com", created="2012-02-15 12:00:00")
    assert count(sendgrid_bounces) == str(n % 3 + 1)

@pytest.mark.sendgrid_bounces(profile="recorded", seed="accounts: [{username: acme, bounces: [{email: a@x}]}]")
def test_marked(sendgrid_bounces, sendgrid_bounces_server):
    assert count(sendgrid_bounces) == 0
    assert sendgrid_bounces_server.emulator.storage.accounts.get("acme")

@pytest.mark.sendgrid_bounces(seed="accounts: [{username: acme}]")
def test_marked_again(sendgrid_bounces):
    pass

@pytest.mark.sendgrid_bounces(profile="recorded", username="wide")
class TestMarked:
    @pytest.mark.sendgrid_bounces(username="close")
    def test_markers_add_up(self, sendgrid_bounces):
        assert sendgrid_bounces.username == "close"
        assert count(sendgrid_bounces) == 0
"""


@pytest.mark.parametrize("args", [(), ("-n", "4")], ids=["alone", "xdist"])
def test_the_fixture_is_of_one_test_alone(tmp_path: Path, args) -> None:
    """Under strict markers, with warnings as errors, and with xdist's processes."""
    ended = _run(tmp_path, *args, test_suite=SUITE)

    assert "43 passed" in ended.stdout, ended.stdout + ended.stderr
    assert ended.stderr == ""


def test_a_mistake_fails_the_test_that_caused_it(tmp_path: Path) -> None:
    """And no other."""
    suite = (
        SUITE
        + """
def test_mistake(sendgrid_bounces, monkeypatch):
    from sendgrid_bounces.storage.bounces import BounceStore
    with monkeypatch.context() as patch:
        patch.setattr(BounceStore, "count", lambda *_: 1 / 0)
        with pytest.raises(OSError):
            count(sendgrid_bounces)

def test_after(sendgrid_bounces):
    assert count(sendgrid_bounces) == "0"
"""
    )
    ended = _run(tmp_path, test_suite=suite)

    assert "45 passed, 1 error" in ended.stdout, ended.stdout
    assert "ERROR test_suite.py::test_mistake - ZeroDivisionError" in ended.stdout


def test_a_conftest_configures_the_server(tmp_path: Path) -> None:
    """By overriding a fixture."""
    conftest = """
import pytest

@pytest.fixture(scope="session")
def sendgrid_bounces_config():
    return {"profile": "recorded", "auth": "any"}
"""
    suite = (
        SUITE.partition("@pytest")[0]
        + """
def test_it(sendgrid_bounces):
    assert count(sendgrid_bounces) == 0
"""
    )
    ended = _run(tmp_path, conftest=conftest, test_suite=suite)

    assert "1 passed" in ended.stdout, ended.stdout


def test_a_wrong_marker_is_told(tmp_path: Path) -> None:
    """In one line."""
    suite = """
import pytest

@pytest.mark.sendgrid_bounces("seed.yaml")
def test_it(sendgrid_bounces):
    pass
"""
    ended = _run(tmp_path, test_suite=suite)
    assert "takes its arguments by name" in ended.stdout

    ended = _run(tmp_path, test_suite=suite.replace('"seed.yaml"', "profil='x'"))
    assert (
        "takes profile, seed, username, api_key, domain, and not profil" in ended.stdout
    )

    ended = _run(tmp_path, test_suite=suite.replace("(sendgrid_bounces):", "():"))
    assert "test_it: the marker sendgrid_bounces is for tests with" in ended.stderr


def test_a_suite_that_does_not_use_it_loads_nothing(tmp_path: Path) -> None:
    """It is loaded by every pytest of the environment that it is installed in.

    Other plugins are not asked: schemathesis' loads Requests.
    """
    suite = """
import sys

def test_it():
    heavy = ("flask", "werkzeug", "peewee", "marshmallow", "lxml", "yaml", "requests", "httpx")
    assert not [name for name in heavy if name in sys.modules]
    ours = sorted(name for name in sys.modules if name.startswith("sendgrid_bounces"))
    assert ours == ["sendgrid_bounces", "sendgrid_bounces.testing", "sendgrid_bounces.testing.plugin"]
"""
    ended = _run(tmp_path, "-p", "no:schemathesis", test_suite=suite)

    assert "1 passed" in ended.stdout, ended.stdout


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    import sendgrid_bounces.testing as package

    with pytest.raises(AttributeError, match="nothing_such"):
        package.nothing_such  # noqa: B018
