"""MySQL servers that restart, hang, refuse connections or do not exist."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import mysql
import pytest
import trustme
from conftest import bounce
from live import COMMAND, TIMEOUT, kill, serving
from nodes import Node, free_port, need

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.storage.database import open_storage
from sendgrid_bounces.storage.tables import BounceListRow

pytestmark = [pytest.mark.mysql, pytest.mark.server]

COUNT = "/api/bounces.count.json?api_user=acme&api_key=k"


@pytest.fixture(name="shared_node", scope="module")
def _shared_node():
    need("mariadbd", "mariadb-install-db")
    node = Node()
    try:
        node.start()
        yield node
    finally:
        node.remove()


@pytest.fixture(name="node")
def _node(shared_node: Node):
    """A server with an empty database, which the test may stop."""
    if not shared_node.is_running:
        shared_node.start()
    shared_node.run("DROP DATABASE test")
    shared_node.run("CREATE DATABASE test")
    yield shared_node
    if shared_node.is_running:
        shared_node.signal(signal.SIGCONT)


def test_connections_survive_a_restart_of_the_server(node: Node) -> None:
    """The first read or write after the restart succeeds."""
    with closing(open_storage(node.url)) as storage:
        bounce_list = storage.accounts.add("acme").bounce_list
        storage.bounces.put(bounce_list, [bounce("a@x")])
        for write_first in (False, True):
            node.kill()
            node.start()
            if write_first:
                storage.bounces.put(bounce_list, [bounce("b@x")])
            assert storage.bounces.count(bounce_list, BounceQuery()) == 1 + write_first


def test_unavailable_server_is_503_within_seconds(node: Node) -> None:
    """The dialect renders the error; requests succeed when the server is back."""
    with serving("--database", node.url, "--auth", "any", "--workers", "1") as live:
        assert live.get(COUNT) == '{"count": "0"}'
        for stop, resume in (
            (lambda: node.signal(signal.SIGSTOP), lambda: node.signal(signal.SIGCONT)),
            (node.kill, node.start),
        ):
            stop()
            for target in (COUNT, COUNT.replace("count.json", "delete.json")):
                began = time.monotonic()
                with pytest.raises(urllib.error.HTTPError) as raised:
                    live.get(target)
                assert raised.value.code == 503
                assert b"temporarily unavailable" in raised.value.read()
                assert time.monotonic() - began < 8
            with pytest.raises(urllib.error.HTTPError) as raised:
                live.get("/_emulator/health")
            assert raised.value.code == 503
            assert (
                b"the database does not answer, or reports an error"
                in raised.value.read()
            )
            resume()
            assert live.get(COUNT) == '{"count": "0"}'
        _out, err = kill(live.process)
    for message in ("timed out", "Connection refused"):
        for path in ("/api/bounces.count.json", "/_emulator/health"):
            assert re.search(f"GET '{path}' failed: mysql database .*{message}", err)


def test_reload_while_the_server_is_away_is_503(node: Node) -> None:
    """The new workers connect when they are called."""
    with serving("--database", node.url, "--auth", "any", "--workers", "1") as live:
        assert live.get(COUNT) == '{"count": "0"}'
        (old,) = live.workers()
        node.kill()
        live.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + TIMEOUT
        while not live.workers() or old in live.workers():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for target in (COUNT, "/_emulator/health"):
            with pytest.raises(urllib.error.HTTPError) as raised:
                live.get(target)
            assert raised.value.code == 503
            assert raised.value.read()
        node.start()
        assert live.get(COUNT) == '{"count": "0"}'


def test_source_asks_for_a_repeat_while_the_server_is_away(
    node: Node, tmp_path: Path
) -> None:
    """The event is listed once when the provider repeats it."""
    seed = tmp_path / "seed.json"
    source = {"name": "mx", "owner": "acme", "kind": "postmark", "token": "t0ken"}
    account = {"username": "acme", "api_key": "k"}
    seed.write_text(json.dumps({"accounts": [account], "sources": [source]}))
    event = {"RecordType": "Bounce", "Type": "HardBounce", "ID": 1, "Email": "a@x.org"}
    flags = ("--database", node.url, "--seed", str(seed), "--workers", "1")
    with serving(*flags) as live:

        def post() -> tuple[int, dict]:
            headers = {"Authorization": "Bearer t0ken"}
            with closing(HTTPConnection(*live.address, timeout=TIMEOUT)) as connection:
                connection.request("POST", "/_sources/mx", json.dumps(event), headers)
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())

        node.kill()
        assert post() == (503, {"error": "the database does not answer"})
        node.start()
        assert [post()[1]["listed"] for _ in range(2)] == [1, 0]
        assert live.get(COUNT) == '{"count": "1"}'


def test_write_is_not_repeated_after_a_lost_connection(node: Node, monkeypatch) -> None:
    """The first attempt may have succeeded, so the caller must check."""
    with closing(open_storage(node.url)) as storage:
        bounce_list = storage.accounts.add("acme").bounce_list
        attempts = []

        def write() -> None:
            attempts.append(storage.bounces.count(bounce_list, BounceQuery()))
            node.kill()
            storage.engine.insert(BounceListRow)

        with pytest.raises(StorageError):
            storage.engine.transact(write)
    assert attempts == [0]


def test_conflicting_transactions_are_repeated(node: Node) -> None:
    """The server aborts one of two deadlocked transactions; both succeed."""
    with closing(open_storage(node.url)) as storage:
        lists = [storage.accounts.add(name).bounce_list for name in "ab"]
        for bounce_list in lists:
            storage.bounces.put(bounce_list, [bounce("a@x", reason="")])
        attempts: list[int] = []
        met = threading.Barrier(2)

        def cross(first: int, second: int) -> None:
            def write() -> None:
                attempts.append(first)
                storage.bounces.put(first, [bounce("a@x", reason=f"by {first}")])
                if len(attempts) <= 2:
                    met.wait(TIMEOUT)
                storage.bounces.put(second, [bounce("a@x", reason=f"by {first}")])

            storage.engine.transact(write)

        threads = [
            threading.Thread(target=cross, args=(*order,))
            for order in (lists, lists[::-1])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        reasons = {
            row[3]
            for bounce_list in lists
            for rows in storage.bounces.find(bounce_list, BounceQuery())
            for row in rows
        }

    assert len(attempts) == 3
    assert len(reasons) == 1


@pytest.mark.parametrize("turn", range(3))
def test_concurrent_workers_create_the_tables_once(turn: int) -> None:
    """This happens at the first start of a server on an empty database."""
    with (
        mysql.database() as url,
        serving("--database", url, "--auth", "any", "--workers", "4") as live,
    ):
        assert live.get(COUNT) == '{"count": "0"}', turn
    with mysql.database() as url:
        processes = [
            subprocess.Popen([*COMMAND, "init-db", "--database", url]) for _ in range(4)
        ]
        assert [process.wait(TIMEOUT) for process in processes] == [0] * 4


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://root:very-s3cret@127.0.0.1:{port}/test", "127.0.0.1:{port}/test: "),
        ("mysql://nobody:very-s3cret@127.0.0.1:{node}/test", "Access denied"),
        ("mysql://reader:very-s3cret@127.0.0.1:{node}/test", "command denied"),
        ("mysql://root@127.0.0.1:{node}/absent", "Unknown database"),
        ("mysql://root:very-s3cret@127.0.0.1:x/test", "mysql://USER"),
        ("mysql://root:7/very-s3cret@127.0.0.1/test", "/ in a password as %2F"),
        ("mysql://root:a@7/very-s3cret@127.0.0.1/test", "/ in a password as %2F"),
        ("mysql://root:7#very-s3cret@127.0.0.1/test", "special characters"),
        ("mysql://127.0.0.1", "mysql://USER:PASSWORD@HOST:3306/NAME"),
        ("mysql://root:very-s3cret@127.0.0.1/test?charset=latin1", "mysql://USER"),
    ],
)
def test_connection_errors_do_not_contain_the_password(
    node: Node, url: str, message: str
) -> None:
    """The message names the problem and the server in a single line."""
    node.run("CREATE OR REPLACE USER reader IDENTIFIED BY 'very-s3cret'")
    node.run("GRANT SELECT ON test.* TO reader")
    ports = {"port": free_port(), "node": node.port}
    ended = subprocess.run(
        [*COMMAND, "init-db", "--database", url.format(**ports)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("\n") == 1
    assert message.format(**ports) in ended.stderr
    assert "very-s3cret" not in ended.stderr


def test_password_is_not_among_the_arguments_of_the_processes(node: Node) -> None:
    """Other users see the arguments of the server and of its workers."""
    node.run("CREATE OR REPLACE USER shown IDENTIFIED BY 'very-s3cret'")
    node.run("GRANT ALL ON test.* TO shown")
    url = f"mysql://shown:very-s3cret@127.0.0.1:{node.port}/test"
    unused = url.replace("very", "not-very")
    with serving("--database", unused, "--database", url, "--auth", "any") as live:
        live.get(COUNT)
        processes = [live.process.pid, *live.workers()]
        shown = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes]

    assert len(shown) == 3
    for arguments in shown:
        assert b"very-s3cret" not in arguments
        assert (
            f"mysql://shown:***********@127.0.0.1:{node.port}/test".encode()
            in arguments
        )


def test_read_only_server_is_reported(node: Node) -> None:
    """Health tries a write, which changes nothing; reads succeed."""
    node.run("CREATE OR REPLACE USER writer IDENTIFIED BY 'very-s3cret'")
    node.run("GRANT ALL ON test.* TO writer")
    url = f"mysql://writer:very-s3cret@127.0.0.1:{node.port}/test"
    with closing(open_storage(url)) as storage:
        node.run("SET GLOBAL read_only = 1")
        try:
            with pytest.raises(StorageError) as raised:
                storage.health.check()
            assert storage.accounts.all() == []
        finally:
            node.run("SET GLOBAL read_only = 0")
    assert raised.value.reason.startswith("the database cannot be written: ")
    assert "read-only" in raised.value.reason
    with closing(open_storage(url)) as storage:
        storage.health.check()


@pytest.fixture(name="authority", scope="module")
def _authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(name="tls_node", scope="module")
def _tls_node(authority: trustme.CA):
    """A server with a certificate for ``localhost``, not for 127.0.0.1."""
    need("mariadbd", "mariadb-install-db")
    node = Node(certificate=authority.issue_cert("localhost"))
    try:
        node.start()
        yield node
    finally:
        node.remove()


def _find_cipher(url: str) -> str:
    with closing(open_storage(url)) as storage:
        ((_, cipher),) = storage.engine.fetch("SHOW STATUS LIKE 'Ssl_cipher'")
    return cipher


def _tls_url(node: Node, authority: trustme.CA, tmp_path: Path) -> str:
    """Return a URL that trusts *authority*, in a file with a special name."""
    file = tmp_path / "a &+%é.pem"
    authority.cert_pem.write_to_path(file)
    url = node.url.replace("127.0.0.1", "localhost")
    return f"{url}?ssl_ca={quote(str(file))}"


def test_tls_is_verified_with_ssl_ca(
    tls_node: Node, authority: trustme.CA, tmp_path: Path
) -> None:
    url = _tls_url(tls_node, authority, tmp_path)
    assert _find_cipher(url).startswith("TLS_")
    assert _find_cipher(url.partition("?")[0]) == ""
    ended = subprocess.run(
        [*COMMAND, "init-db", "--create", "--database", url.replace("/test?", "/new?")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_server_that_cannot_be_verified_is_refused(
    tls_node: Node, node: Node, authority: trustme.CA, tmp_path: Path
) -> None:
    url = _tls_url(tls_node, authority, tmp_path)
    other_host = url.replace("localhost", "127.0.0.1")
    with pytest.raises(StorageError, match="IP address mismatch"):
        _find_cipher(other_host)
    with pytest.raises(StorageError, match="SSL is required"):
        _find_cipher(_tls_url(node, authority, tmp_path))
    with pytest.raises(StorageError, match="unable to get local issuer certificate"):
        _find_cipher(_tls_url(tls_node, trustme.CA(), tmp_path))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "ssl_ca=/absent.pem",
            "cannot read the certificates in '/absent.pem': No such",
        ),
        ("ssl_ca=/dev/null", "cannot read the certificates in '/dev/null': "),
        ("ssl_ca=%00", r"cannot read the certificates in '\x00': "),
        ("ssl_ca=", "accepts one option: ssl_ca=FILE"),
        ("ssl_ca=/dev/null&ssl_disabled=1", "accepts one option: ssl_ca=FILE"),
    ],
)
def test_invalid_option_of_a_url_is_an_error(query: str, message: str) -> None:
    with pytest.raises(StorageError) as raised:
        open_storage(f"mysql://root:very-s3cret@127.0.0.1/test?{query}")
    assert message in str(raised.value)
    assert "very-s3cret" not in str(raised.value)


def test_missing_driver_is_reported(tmp_path: Path) -> None:
    """The error contains the command that installs the driver."""
    (tmp_path / "pymysql.py").write_text("raise ImportError")
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "sendgrid_bounces",
            "init-db",
            "--database",
            "mysql://a@b/c",
        ],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    assert ended.stderr == (
        "Error: a MySQL database needs a driver: pip install 'PyMySQL[rsa]'\n"
    )


def test_mysql_distinguishes_the_same_keys_as_python(node: Node) -> None:
    """Its default collation would ignore letter case, trailing blanks and sharp s."""
    emails = [
        "strasse@x.de",
        "stra\u00dfe@x.de",
        "stra\u00dfe@x.de ",
        "\U0001f600@x.de",
    ]
    with closing(open_storage(node.url)) as storage:
        bounce_list = storage.accounts.add("acme").bounce_list
        storage.bounces.put(bounce_list, map(bounce, emails))
        found = {
            row[0]
            for rows in storage.bounces.find(bounce_list, BounceQuery())
            for row in rows
        }
        upper = BounceQuery(emails=("STRASSE@X.DE",))

        assert found == set(emails)
        assert storage.bounces.count(bounce_list, upper) == 1
