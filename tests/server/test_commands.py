"""Commands and servers as a person runs them: in a shell, at a terminal, over HTTP."""

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import mysql
import pytest
import trustme
from live import COMMAND, TIMEOUT, Live, free_port, kill, named, serving, start

pytestmark = pytest.mark.server

ANY = "0.0.0.0"  # noqa: S104 - the subject of the test

QUICK = named(KEY_HASH="scrypt:128:8:1")


def _run(*args: str, stdin: str = "", code: int = 0, **variables: str) -> str:
    """Run a command and return its stdout, or its stderr if it fails."""
    ended = subprocess.run(
        [*COMMAND, *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env={**os.environ, **QUICK, **variables},
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    return ended.stderr if code else ended.stdout


class Terminal:
    """A command at a terminal."""

    def __init__(self, *args: str, **variables: str) -> None:
        self.pid, self._descriptor = pty.fork()
        if not self.pid:
            os.environ.update({**QUICK, **variables})
            os.execv(sys.executable, [*COMMAND, *args])  # noqa: S606 - no shell is needed
        self.output = ""

    def wait_for(self, text: str) -> str:
        """Read until the output contains *text*, and return it."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self.output:
            assert time.monotonic() < deadline, self.output
            if not self._read():
                break
        assert text in self.output
        return self.output

    def write(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def end(self) -> int:
        """Read the rest of the output, and return the exit code."""
        while self._read():
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self._descriptor)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        with suppress(OSError):  # the other end is closed
            if not select.select([self._descriptor], [], [], TIMEOUT)[0]:
                return False
            data = os.read(self._descriptor, 65_536).decode(errors="replace")
            self.output += data.replace("\r\n", "\n")
            return bool(data)
        return False


@contextmanager
def _serving_at_a_terminal(*args: str) -> Iterator[tuple[Terminal, str]]:
    terminal = Terminal("serve", "--port", "0", "--workers", "1", *args)
    try:
        terminal.wait_for("Listening on http://")
        port = re.search(r"Listening on http://\S+?:(\d+)", terminal.output)[1]
        yield terminal, f"http://127.0.0.1:{port}"
    finally:
        os.kill(terminal.pid, signal.SIGINT)
        assert terminal.end() == 0


def _stop(live: Live) -> str:
    """Stop a server, and return its stderr."""
    live.process.send_signal(signal.SIGTERM)
    return live.process.communicate(timeout=TIMEOUT)[1]


def test_serve_names_its_database_and_the_next_step(url: str, tmp_path: Path) -> None:
    """The suggested command works while the server runs."""
    path = tmp_path / "bounces.sqlite3"
    with serving("--database", url, **QUICK) as live:
        suggestion = f"sendgrid-bounces account add NAME --url {live.url}"
        added = _run("account", "add", "acme", "--url", live.url, stdin="k\n")
        assert added == "added acme\n"
        assert live.get("/api/bounces.count.json?api_user=acme&api_key=k")
        err = _stop(live)
    assert f"Using the sqlite database {path}: 0 accounts and 0 bounces\n" in err
    assert suggestion in err
    with serving("--database", url, **QUICK) as live:
        err = _stop(live)
    assert f"Using the sqlite database {path}: 1 account and 0 bounces\n" in err
    assert "account add" not in err
    other = url.replace("bounces.", "other.")
    with serving("--database", other, "--control", "off") as live:
        assert f"account add NAME --database {shlex.quote(other)}" in _stop(live)
    with serving(
        "--database", url.replace("bounces.", "any."), "--auth", "any"
    ) as live:
        assert "account add" not in _stop(live)


def test_serve_says_that_control_endpoints_are_off(url: str) -> None:
    """It names the variable, as the 404 does."""
    variable = "SENDGRID_BOUNCES_CONTROL_TOKEN"
    flags = ("--database", url, "--host", ANY, "--port", "0")
    for variables, is_off in (
        ({}, True),
        ({variable: "t0ken"}, False),
        (named(CONTROL="off"), None),
    ):
        process = start("sendgrid_bounces", "serve", *flags, **variables)
        try:
            port = process.stdout.readline().strip().rpartition(":")[2]
            address = f"http://127.0.0.1:{port}"
            if is_off:
                error = _run("account", "list", "--url", address, code=1)
                assert variable in error
        finally:
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=TIMEOUT)
        line = (
            f"Control endpoints are off, because {ANY} is not a loopback address; set "
            f"{variable} to turn them on\n"
        )
        assert (line in err) == bool(is_off)


def test_calls_of_the_demo_have_an_address_to_connect_to() -> None:
    flags = ("--demo", "--host", ANY, "--port", "0", "--control", "on")
    process = start("sendgrid_bounces", "serve", *flags)
    try:
        line = process.stdout.readline()
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=TIMEOUT)
    port = line.strip().removeprefix(f"Listening on http://{ANY}:")
    assert f"Dashboard: http://127.0.0.1:{port}/" in err
    assert err.count(f"'http://127.0.0.1:{port}/api/") == 3


def test_invalid_seed_file_takes_no_port(url: str, tmp_path: Path) -> None:
    """A server that listens already is not the first error."""
    seed = tmp_path / "seed.yaml"
    seed.write_text("accounts: [{username: ''}]")
    with serving("--database", url) as live:
        port = live.url.rpartition(":")[2]
        flags = ("--database", url, "--seed", str(seed), "--port", port)
        err = _run("serve", *flags, code=1)
    assert err.startswith(f"Error: {seed}: accounts[0].username")
    assert err.count("\n") == 1


def test_exit_code_does_not_depend_on_the_error_stream(tmp_path: Path) -> None:
    """A mail system repeats a mail after 75, but not after 1."""
    absent = f"sqlite:///{tmp_path / 'absent' / 'b.sqlite3'}"
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, "bounces", "receive", "acme", "--database", absent]
    try:
        ended = subprocess.run(
            command, input=b"From: a@x\n\nText\n", stderr=writer, timeout=TIMEOUT
        )
    finally:
        os.close(writer)
    assert ended.returncode == 75


def test_requests_are_shown_at_a_terminal(url: str) -> None:
    """One line each, without credentials; --quiet and an access log turn them off."""
    call = "/api/bounces.count.json?api_user=acme&api_key=s3cret"
    flags = ("--database", url, "--auth", "any")
    with _serving_at_a_terminal(*flags) as (terminal, address):
        assert Live(address, None).get(call) == '{"count": "0"}'
        output = terminal.wait_for("/api/bounces")
    assert re.search(
        r"\n\d\d:\d\d:\d\d  GET /api/bounces\.count\.json\?api_user=acme&api_key=\*\*\*"
        r"  200  \d+ ms\n",
        output,
    )
    for more in (["--quiet"], ["--access-log", os.devnull]):
        with _serving_at_a_terminal(*flags, *more) as (terminal, address):
            Live(address, None).get(call)
        assert "/api/bounces" not in terminal.output


def test_removal_is_confirmed_at_a_terminal(url: str) -> None:
    """The answer no is not an error."""
    _run("account", "add", "acme", "--database", url, stdin="k\n")
    for answer, code, text in (("n", 1, "Nothing was"), ("y", 0, "removed acme")):
        terminal = Terminal("account", "remove", "acme", "--database", url)
        terminal.wait_for("Remove acme and 0 bounces? [y/N]: ")
        terminal.write(f"{answer}\n")
        assert terminal.end() == code
        assert text in terminal.output
        assert "Error" not in terminal.output


def test_long_work_shows_its_progress(url: str, tmp_path: Path) -> None:
    """At a terminal: imports and exports."""
    file = tmp_path / "bounces.csv"
    file.write_text("email\n" + "".join(f"{i}@x\n" for i in range(5_000)))
    _run("account", "add", "acme", "--database", url, stdin="k\n")
    for command, label in (("import", "Importing"), ("export", "Exporting")):
        flags = ("acme", str(file), "--database", url)
        terminal = Terminal("bounces", command, *flags)
        assert terminal.end() == 0
        assert re.search(rf"{label}  \[#+\]  100%|{label}  \[#", terminal.output)
        assert label not in _run("bounces", command, *flags)


def test_large_file_is_imported_over_http(url: str, tmp_path: Path) -> None:
    """As lines, all or none. The export equals the import."""
    rows = [
        {"email": f"{i}@x", "reason": "r" * 100, "created": "2012-02-15T00:00:00Z"}
        for i in range(30_000)
    ]
    file = tmp_path / "bounces.json"
    file.write_text(json.dumps(rows))
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps([*rows, {}]))
    token = named(CONTROL_TOKEN="t0ken")
    with serving("--database", url, **QUICK, **token) as live:
        variables = {**token, **named(URL=live.url)}
        _run("account", "add", "acme", stdin="k\n", **variables)
        command = ("bounces", "import", "acme")
        err = _run(*command, str(bad), code=1, **variables)
        assert "[30000] (line 1): missing field 'email' or 'address'" in err
        assert _run("bounces", "count", "acme", **variables) == "0 bounces\n"
        assert _run(*command, str(file), **variables) == "imported 30,000 bounces\n"
        exported = _run("bounces", "export", "acme", "--format", "json", **variables)
        assert [row["email"] for row in json.loads(exported)] == [
            row["email"] for row in rows
        ]
    _run("bounces", "export", "acme", str(bad), "--database", url)
    assert bad.read_text() == exported


def test_server_is_found_if_there_is_no_database(url: str, tmp_path: Path) -> None:
    """A command never creates a stray database beside a server."""
    absent = tmp_path / "absent.sqlite3"
    with serving("--database", url) as live:
        port = live.url.rpartition(":")[2]
        for command in (("clock", "freeze"), ("account", "list")):
            err = _run(
                *command,
                *("--database", f"sqlite:///{absent}"),
                code=1,
                **named(PORT=port),
            )
            assert f"a server answers at {live.url}: use --url {live.url}" in err
    assert not absent.exists()


def test_commands_trust_the_certificate_of_the_settings(url, tmp_path) -> None:
    """Without it, the certificate is unknown."""
    certificate = trustme.CA().issue_cert("localhost")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    for part in certificate.cert_chain_pems:
        part.write_to_path(chain, append=True)
    certificate.private_key_pem.write_to_path(key)
    port = str(free_port())
    flags = ("--database", url, "--ssl-cert", str(chain), "--ssl-key", str(key))
    process = start("sendgrid_bounces", "serve", *flags, "--port", port)
    try:
        assert process.stdout.readline().startswith("Listening on https://")
        address = f"https://localhost:{port}"
        command = ("account", "list", "--json", "--url", address)
        listed = _run(*command, **named(SSL_CERT=str(chain)))
        assert json.loads(listed) == {"accounts": []}
        assert "no TLS with" in _run(*command, code=1)
    finally:
        kill(process)


def test_reader_that_stops_ends_a_list_quietly(url: str, tmp_path: Path) -> None:
    """Both from the database and from a server."""
    file = tmp_path / "bounces.csv"
    file.write_text(
        "email,reason\n" + "".join(f"{i}@x,{'r' * 99}\n" for i in range(4_000))
    )
    with serving("--database", url, **QUICK) as live:
        _run("account", "add", "acme", "--url", live.url, stdin="k\n")
        _run("bounces", "import", "acme", str(file), "--url", live.url)
        for flags in ("--database", url), ("--url", live.url):
            command = [*COMMAND, "bounces", "list", "acme", *flags]
            reader = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            assert reader.stdout.readline().startswith("created")
            reader.stdout.close()
            assert reader.stderr.read() == ""
            reader.stderr.close()
            assert reader.wait(TIMEOUT) == 1


@pytest.mark.mysql
def test_database_is_created_on_its_server(mysql_url: str) -> None:
    """Without --create, the error names the command."""
    url = f"{mysql_url}_new".replace("mysql://", "mariadb://")
    name = url.rpartition("/")[2]
    err = _run("init-db", "--database", url, code=1)
    assert f"Unknown database '{name}'" in err
    assert "create it with sendgrid-bounces init-db --create" in err
    try:
        for _ in range(2):
            created = _run("init-db", "--create", "--database", url)
            assert created.startswith("mysql database")
            assert created.endswith(f"/{name} is ready\n")
        _run("account", "add", "acme", "--database", url, stdin="k\n")
        assert "acme" in _run("account", "list", "--database", url)
    finally:
        with closing(mysql.connect(mysql_url)) as connection:
            connection.cursor().execute(f"DROP DATABASE IF EXISTS {name}")
