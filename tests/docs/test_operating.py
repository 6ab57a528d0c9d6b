"""The guide to operation: its files are used by the programs that they are for."""

import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
import trustme
import yaml
from blocks import BLOCKS, DOCS, Block, blocks_of
from live import ROOT, TIMEOUT, Live, free_port, gunicorn, named, serving
from shell import environment, shell

from sendgrid_bounces.cli import main
from sendgrid_bounces.config import SETTINGS

PAGE = DOCS / "how-to" / "operating.rst"
FILES = {block.name: block.text for block in blocks_of(PAGE) if block.name}
UNITS = [block for block in BLOCKS if block.name.endswith(".service")]
PULL = yaml.safe_load(blocks_of(DOCS / "how-to" / "pull.rst", "yaml")[0].text)
PULL = PULL["services"]["pull"]
COUNT = "/api/bounces.count.json?api_user=acme&api_key=k"

#: Paths whose encoding a proxy must not change.
PATHS = (
    "/api/bounces.get.xml?api_user=acme&api_key=k&email=a%2Bb%40example.com&date=1",
    "/v3/mg.example.com/bounces/a%2Fb@example.com",
    "/v3/mg.example.com/bounces?limit=2&page=next&address=%C3%A4%40x",
    "/api/nothing",
    "//api//bounces.get.json",
    "/_emulator/health",
)
CLOSED = ("/_emulator", "/_emulator/", "/_emulator/accounts", "/_emulator/%61ccounts")


def file_of(name: str) -> str:
    """Return the text of the only file whose path contains *name*."""
    (text,) = [text for path, text in FILES.items() if name in path]
    return text


def need(program: str) -> str:
    """Return the path of *program*, or skip the test."""
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
    if path is None:
        assert "CI" not in os.environ, f"CI must have {program}"
        pytest.skip(f"{program} is not installed")
    return path


@pytest.fixture(name="live")
def _live(tmp_path: Path) -> Iterator[Live]:
    """A server with an access log."""
    log = str(tmp_path / "access.log")
    flags = ("--auth", "any", "--access-log", log, "--control", "on")
    with serving("--database", f"sqlite:///{tmp_path}/b.sqlite3", *flags) as live:
        yield live


@pytest.mark.server
def test_line_for_cron_makes_a_backup(tmp_path: Path) -> None:
    """Cron replaces each escaped percent sign, and runs the rest with a shell."""
    *_times, user, command = file_of("cron.d").strip().split(" ", 6)
    (tmp_path / "backups").mkdir()
    shell("sendgrid-bounces init-db", tmp_path)
    folder, program, command = re.fullmatch(
        "cd (.*?) && /(.*?)(sendgrid-bounces backup .*)", command
    ).groups()
    for _ in range(2):
        assert shell(command.replace(r"\%", "%"), tmp_path) == ""
    day = shell("date +%a", tmp_path)
    unit = file_of("systemd")

    (file,) = (tmp_path / "backups").iterdir()
    assert file.name == f"{day}.sqlite3"
    assert f"User={user}\n" in unit
    assert f"WorkingDirectory={folder}\n" in unit
    assert f"ExecStart=/{program}sendgrid-bounces serve\n" in unit


@contextmanager
def running(port: int, *command: str) -> Iterator[str]:
    """Run a proxy until it listens on *port*; yield its URL."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def respond(address: str, path: str) -> tuple[int, str | None, bytes]:
    """Return the status, the media type and the body of a response."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
    try:
        connection.request("GET", path, headers={"Host": "bounces.example.com"})
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read()
    finally:
        connection.close()


def check_proxy(proxy: str, live: Live) -> None:
    """Check that *proxy* closes the control endpoints and changes nothing else."""
    direct = live.url.removeprefix("http://")
    for path in PATHS:
        assert respond(proxy, path) == respond(direct, path), path
    assert [respond(proxy, path)[0] for path in CLOSED] == [404] * len(CLOSED)
    connection = http.client.HTTPConnection(proxy, timeout=TIMEOUT)
    connection.request("POST", "/_emulator/reset", headers={"Host": "localhost"})
    assert connection.getresponse().status in (403, 404)
    connection.close()
    assert respond(proxy, "/_emulator/accounts/demo/../../health")[0] in (403, 404)


@contextmanager
def running_nginx(block: str, live: Live, tmp_path: Path) -> Iterator[str]:
    """Run nginx with the server *block*, without TLS, before *live*; yield its URL."""
    nginx, port = need("nginx"), free_port()
    block = block.replace("127.0.0.1:8000", live.url.removeprefix("http://"))
    block = block.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    block = re.sub(r" *ssl_certificate(_key)? .*;\n", "", block)
    logs = f"pid {tmp_path}/pid; error_log {tmp_path}/error.log;"
    temporary = "".join(
        f"{name}_temp_path {tmp_path}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"{logs} daemon off; events {{}} http {{ access_log off; {temporary} {block} }}"
    )
    command = (nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"))
    with running(port, *command) as proxy:
        yield proxy


@pytest.mark.docs
@pytest.mark.server
def test_nginx_closes_the_control_endpoints(live: Live, tmp_path: Path) -> None:
    with running_nginx(file_of("nginx"), live, tmp_path) as proxy:
        check_proxy(proxy, live)


@pytest.mark.docs
@pytest.mark.server
def test_nginx_publishes_only_sources(live: Live, tmp_path: Path) -> None:
    (block,) = blocks_of(DOCS / "how-to" / "publish-sources.rst", "nginx")
    direct = live.url.removeprefix("http://")
    with running_nginx(block.text, live, tmp_path) as proxy:
        source = respond(proxy, "/_sources/mx")
        assert source == respond(direct, "/_sources/mx")
        hidden = "/_emulator/accounts/demo/../../../_sources/mx"
        for path in ("/", "/_emulator/health", COUNT, hidden):
            assert respond(proxy, path)[0] in (403, 404), path


def test_proxies_use_tls() -> None:
    for block in BLOCKS:
        if block.language == "nginx":
            assert "listen 443 ssl;" in block.text
            assert block.text.count("ssl_certificate") == 2


@pytest.mark.docs
@pytest.mark.server
def test_caddy_closes_the_control_endpoints(live: Live, tmp_path: Path) -> None:
    """Without TLS, since no authority issues a certificate for the name."""
    caddy, port = need("caddy"), free_port()
    text = file_of("Caddyfile").replace(
        "127.0.0.1:8000", live.url.removeprefix("http://")
    )
    text = text.replace("bounces.example.com {", f":{port} {{", 1)
    (tmp_path / "Caddyfile").write_text("{\n admin off\n}\n" + text)
    command = (caddy, "run", "--config", str(tmp_path / "Caddyfile"))
    with running(port, *command, "--adapter", "caddyfile") as proxy:
        check_proxy(proxy, live)


def wait_until(condition) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.docs
@pytest.mark.server
def test_logrotate_rotates_the_access_log(live: Live, tmp_path: Path) -> None:
    """All processes write to the new file; no line is lost."""
    log = tmp_path / "access.log"
    text = file_of("logrotate").replace("/var/log/sendgrid-bounces", str(tmp_path))
    (signalled,) = re.findall(r"systemctl kill .*--signal=USR1 .*", text)
    text = text.replace(signalled, f"kill -USR1 {live.process.pid}")
    text = text.replace("{", "{\n    su root root", 1) if os.geteuid() == 0 else text
    (tmp_path / "conf").write_text(text)
    for _ in range(20):
        live.get(COUNT)
    command = [
        need("logrotate"),
        "-f",
        "-s",
        str(tmp_path / "state"),
        str(tmp_path / "conf"),
    ]
    subprocess.run(command, check=True, timeout=TIMEOUT)
    rotated = tmp_path / "access.log.1"
    wait_until(log.exists)

    def is_reopened() -> bool:
        return all(
            str(log) in [str(f.readlink()) for f in Path(f"/proc/{pid}/fd").iterdir()]
            for pid in live.workers()
        )

    wait_until(is_reopened)
    for _ in range(20):
        live.get(COUNT)

    def lines() -> list[int]:
        path = COUNT.partition("?")[0]
        return [file.read_text().count(path) for file in (rotated, log)]

    wait_until(lambda: lines()[1] == 20)  # a line is written after its response
    assert lines() == [20, 20]


@pytest.mark.docs
@pytest.mark.parametrize("block", UNITS, ids=lambda block: Path(block.name).stem)
def test_systemd_accepts_the_unit(block: Block, tmp_path: Path) -> None:
    """Without warnings, with the path of this installation."""
    text = block.text
    unit = tmp_path / Path(block.name).name
    (command,) = re.findall(r"ExecStart=(\S+) ", text)
    program = shutil.which("sendgrid-bounces", path=environment()["PATH"])
    assert program
    unit.write_text(text.replace(command, program))
    ended = subprocess.run(
        [need("systemd-analyze"), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    problems = [line for line in ended.stderr.splitlines() if "sendgrid" in line]
    assert (ended.returncode, problems) == (0, [])


@pytest.mark.parametrize(
    "arguments",
    [
        *(re.search(r"ExecStart=\S+ (.*)", unit.text)[1] for unit in UNITS),
        PULL["command"].removeprefix("sendgrid-bounces "),
    ],
)
def test_commands_of_services_are_valid(arguments: str) -> None:
    """Each option exists and has a valid value; the commands run until they are stopped."""
    command, context, words = main, click.Context(main), shlex.split(arguments)
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
    assert command.make_context("command", words, obj={})


def test_service_that_pulls_uses_the_database_of_the_server() -> None:
    bounces = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["bounces"]
    variable = "SENDGRID_BOUNCES_DATABASE_URL"

    assert PULL["build"] == bounces["build"]
    assert PULL["depends_on"] == bounces["depends_on"]
    assert PULL["environment"][variable] == bounces["environment"][variable]


def test_commands_have_the_path_of_the_installation() -> None:
    """Cron, systemd and mail systems do not search the virtual environment."""
    (program,) = re.findall(r"ExecStart=(\S+) ", file_of("systemd"))
    pages = {block.page for block in UNITS} | {DOCS / "how-to" / "bounce-mails.rst"}
    for block in BLOCKS:
        if block.page in pages and block.language in ("ini", "text"):
            commands = r"(/?[\w./-]*sendgrid-bounces) (?:backup|bounces|serve)\b"
            assert {*re.findall(commands, block.text)} <= {program}
    folder = program.removesuffix("/bin/sendgrid-bounces")
    assert f"    python3 -m venv {folder}\n" in PAGE.read_text()


def test_files_agree() -> None:
    """Paths and settings occur in several files."""
    unit = file_of("systemd")
    known = {setting.variable for setting in SETTINGS}
    assert set(re.findall(r"SENDGRID_BOUNCES_\w+", "".join(FILES.values()))) <= known
    log = re.search("ACCESS_LOG=(.*)", unit)[1]
    assert file_of("logrotate").startswith(f"{log} {{\n")
    assert "sendgrid-bounces.service" in file_of("logrotate")
    compose = yaml.safe_load(file_of("compose.override"))
    base = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert compose["services"].keys() <= base["services"].keys()
    (volume,) = compose["services"]["bounces"]["volumes"]
    assert f"VOLUME {volume.partition(':')[2]}\n" in (ROOT / "Dockerfile").read_text()


@contextmanager
def _served(command: str, tmp_path: Path) -> Iterator[Live]:
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path}/b.sqlite3", "AUTH": "any"}
    variables = named(**settings)
    if command == "serve":
        with serving(**variables) as live:
            yield live
        return
    conf = ("-c", "python:sendgrid_bounces.gunicorn_conf")
    with gunicorn("sendgrid_bounces.wsgi:app", *conf, **variables) as live:
        live.when_up(COUNT)
        yield live


@pytest.mark.server
@pytest.mark.parametrize("command", ["serve", "gunicorn"])
def test_hup_replaces_the_workers(command: str, tmp_path: Path) -> None:
    """No request fails meanwhile."""
    with _served(command, tmp_path) as live:
        before = {*live.workers()}
        stopped, failures, answered = threading.Event(), [], []

        def call() -> None:
            while not stopped.is_set():
                try:
                    answered.append(live.get(COUNT))
                except OSError as error:
                    failures.append(error)

        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            os.kill(live.process.pid, signal.SIGHUP)
            wait_until(lambda: before.isdisjoint(now := {*live.workers()}) and now)
            enough = len(answered) + 20
            wait_until(lambda: len(answered) >= enough or failures)
        finally:
            stopped.set()
            for thread in threads:
                thread.join()
    assert failures == []
    assert {*answered} == {'{"count": "0"}'}


@pytest.mark.server
def test_hup_reads_a_new_certificate(tmp_path: Path) -> None:
    """Settings that name the files stay the same."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def renew() -> None:
        issued = trustme.CA().issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)

    flags = ("--ssl-cert", str(certificate), "--ssl-key", str(key))
    database = ("--database", f"sqlite:///{tmp_path}/b.sqlite3")
    renew()
    with serving(*flags, *database, "--workers", "1") as live:
        before = ssl.get_server_certificate(live.address)
        renew()
        os.kill(live.process.pid, signal.SIGHUP)
        wait_until(lambda: ssl.get_server_certificate(live.address) != before)
        shown = ssl.get_server_certificate(live.address)
    assert shown.split() == certificate.read_text().split()


def isolated(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run *script* with mounts of its own, or skip the test."""
    unshare = [need("unshare"), *([] if os.geteuid() == 0 else ["-Ur"]), "-m"]
    probe = "mount -t tmpfs tmpfs /mnt && mount -o remount,ro,bind /"
    if subprocess.run(
        [*unshare, "sh", "-c", probe], capture_output=True, check=False
    ).returncode:
        pytest.skip("mount namespaces are not available")
    port = str(free_port())
    return subprocess.run(
        [*unshare, "bash", "-euc", script],
        cwd=folder,
        env={
            **environment(),
            "SENDGRID_BOUNCES_PORT": port,
            "URL": f"http://127.0.0.1:{port}",
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 4,
        check=False,
    )


#: Starts a server, waits for it, and stops it in the end.
SERVE = """
sendgrid-bounces serve --auth any --control on >out 2>err &
trap "kill $!; wait" EXIT
until sendgrid-bounces health >/dev/null 2>&1; do sleep 0.1; done
add() {
    curl -s -o /dev/null -w '%{http_code}\n' -u api:k -F address=$1@x.example \
        -F error="$(head -c 6000 /dev/zero | tr '\\0' x)" $URL/v3/x.example/bounces
}
"""

READ_ONLY = (
    """
mkdir data tmp
mount --bind data data
mount -t tmpfs tmpfs tmp
export TMPDIR=$PWD/tmp
cd data
mount -o remount,ro,bind /
! touch ../x 2>/dev/null
"""
    + SERVE
    + """
add a
sendgrid-bounces backup - | sendgrid-bounces restore - --yes
"""
)

FULL = (
    """
mkdir small
mount -t tmpfs -o size=400k tmpfs small
cd small
"""
    + SERVE
    + """
curl -s -o /dev/null -u api:k $URL/v3/x.example/bounces
dd if=/dev/zero of=fill bs=1k count=400 2>/dev/null || true
add a
curl -s -w ' %{http_code}\n' "$URL/api/bounces.count.json?api_user=x.example&api_key=k"
until [ "$(curl -s -o ../health -w '%{http_code}' $URL/_emulator/health)" = 503 ]; do
    sleep 0.1  # each worker tries a write once a second
done
cat ../health
sendgrid-bounces backup b 2>&1 || true
grep -c 'database or disk is full' err
rm fill
add a
curl -s -w ' %{http_code}\n' "$URL/api/bounces.count.json?api_user=x.example&api_key=k"
"""
)


@pytest.mark.docs
@pytest.mark.server
def test_server_needs_two_writable_folders(tmp_path: Path) -> None:
    """The folder of the database, and the one for temporary files."""
    ended = isolated(READ_ONLY, tmp_path)
    counts = "the database has 1 account, 1 domain and 1 bounce"
    assert ended.stdout.splitlines() == ["200", counts], ended.stderr


@pytest.mark.docs
@pytest.mark.server
def test_full_disk_refuses_writes_only(tmp_path: Path) -> None:
    """Until there is space again."""
    ended = isolated(FULL, tmp_path)
    lines = ended.stdout.splitlines()
    assert lines[:2] == ["503", '{"count": "0"} 200'], ended.stderr
    assert "cannot be written" in lines[2]
    assert lines[3].startswith("Error: cannot copy")
    assert lines[3].endswith("database or disk is full")
    assert int(lines[4]) >= 1
    assert lines[5:] == ["200", '{"count": "1"} 200'], ended.stderr
