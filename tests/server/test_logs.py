"""Logs of whole servers: they never contain credentials."""

import base64
import http.client
import json
import signal
import socket
import subprocess
import time
import urllib.error
from contextlib import contextmanager
from pathlib import Path

import pytest
from live import COMMAND, TIMEOUT, Live, gunicorn, kill, named, serving

pytestmark = pytest.mark.server

SECRET = "very-s3cret-key"
ENCODED = "very%2Ds3cret%2Dkey"


def _call_with_secrets(live: Live) -> None:
    """Send requests with the secret in every place where clients put credentials."""
    token = base64.b64encode(f"api:{SECRET}".encode()).decode()
    user = base64.b64encode(f"{SECRET}:".encode()).decode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    calls = [
        ("GET", f"/api/bounces.get.json?api_user=a&api_key={SECRET}&limit=x", {}, None),
        ("GET", f"/api/bounces.get.json?api_user=a&API%5FKEY={ENCODED}", {}, None),
        ("GET", f"/api/nothing?api_key={SECRET}&api_key={SECRET}", {}, None),
        ("POST", "/api/bounces.get.json", form, f"api_user=a&api_key={SECRET}&limit=x"),
        ("POST", f"/api/bounces.get.json?x={ENCODED}", {**form, "User-Agent": SECRET}, f"api_user=a&api_key={SECRET}"),
        ("GET", f'/api/bounces.get.json?x={{"api_key":"{SECRET}"}}', {}, None),
        ("POST", "/api/bounces.get.json", {}, f"api_user=a&api_key={SECRET}"),
        ("GET", "/v3/d/bounces", {"Authorization": f"Basic {token}"}, None),
        ("GET", "/v3/d/bounces", {"Authorization": f"Basic {user}"}, None),
        ("GET", f"/v3/{SECRET.title()}/bounces", {"Authorization": f"Basic {token}"}, None),
        ("GET", f"/api/bounces.get.json?api_user=a&api_key{SECRET}", {}, None),
        ("GET", f"/api/bounces.get.json?api_user=a&api_kye={SECRET}", {}, None),
        ("GET", "/api/nothing", {"Referer": f"http://x/api/bounces.get.json?api_key={SECRET}"}, None),
        ("GET", "/api/nothing", {"Referer": f"http://u:{SECRET}@x/", "User-Agent": f"x?api_key={SECRET}"}, None),
        ("GET", "/api/nothing", {"Cookie": f"session={SECRET}"}, None),
        ("GET", f"/api/bounces.get.json%3Fapi_key%3D{SECRET}", {}, None),
        ("GET", f"/api/bounces.get.json/api_key={SECRET}", {}, None),
        ("GET", f"http://u:{SECRET}@x/api/nothing", {}, None),
        ("BREW", f"/api/bounces.get.json?api_key={SECRET}", {}, None),
        ("GET", f"/{'a' * 9_000}?api_key={SECRET}", {}, None),
        ("GET", f"/_emulator/requests?token={SECRET}", {"Authorization": f"Bearer {SECRET}"}, None),
    ]  # fmt: skip
    for method, target, headers, body in calls:
        connection = http.client.HTTPConnection(live.url.removeprefix("http://"))
        connection.request(method, target, body, headers)
        connection.getresponse().read()
        connection.close()
    for line in (b"GET /x?api_key=%s HTTP/9", b"GET /\xff?api_key=%s HTTP/1.1"):
        with socket.create_connection(live.address, TIMEOUT) as connection:
            connection.sendall(line % SECRET.encode() + b"\r\nHost: x\r\n\r\n")
            while connection.recv(1_000):
                pass


#: A log format with all parts of a request that can contain credentials.
FORMAT = '%(h)s %(l)s %(u)s "%(r)s" %(U)s %(q)s %(s)s "%(f)s" "%(a)s" %({authorization}i)s %({cookie}i)s %({referer}i)s %({raw_uri}e)s %({query_string}e)s %({http_authorization}e)s %({http_referer}e)s'


def _assert_no_secret(text: str) -> None:
    for secret in (SECRET, ENCODED):
        assert secret.lower() not in text.lower()
        for decoded in (f"api:{secret}", f"{secret}:"):
            assert base64.b64encode(decoded.encode()).decode() not in text


def test_serve_writes_the_access_log_to_stderr(url: str) -> None:
    """Each request is a line; stdout has only the URL of the server."""
    flags = ("--database", url, "--auth", "any", "--access-log", "-")
    with serving(*flags, GUNICORN_CMD_ARGS="") as live:
        _call_with_secrets(live)
        live.process.terminate()
        out, err = live.process.communicate(timeout=TIMEOUT)

    assert out == ""
    assert (
        '"GET /api/bounces.get.json?api_user=a&api_key=***&limit=x HTTP/1.1" 400' in err
    )
    assert '"http://x/api/bounces.get.json?api_key=***"' in err
    assert err.count(" HTTP/1.1") >= 14
    _assert_no_secret(err)


def test_serve_writes_the_access_log_to_a_file(url: str, tmp_path: Path) -> None:
    """The variable has the path."""
    log = tmp_path / "access.log"
    with serving("--database", url, SENDGRID_BOUNCES_ACCESS_LOG=str(log)) as live:
        with pytest.raises(urllib.error.HTTPError):
            live.get(f"/api/bounces.count.json?api_user=a&api_key={SECRET}")
        live.process.terminate()
        _out, err = live.process.communicate(timeout=TIMEOUT)

    assert "api_key=*** HTTP" in log.read_text()
    _assert_no_secret(log.read_text() + err)


def test_serve_logs_no_requests_by_default(url: str) -> None:
    """Malformed requests are not logged either."""
    with serving("--database", url, "--auth", "any") as live:
        _call_with_secrets(live)
        live.process.terminate()
        out, err = live.process.communicate(timeout=TIMEOUT)
    assert "HTTP/1.1" not in out + err
    _assert_no_secret(out + err)


def test_failure_to_write_a_line_is_reported_without_it(url: str) -> None:
    """The standard library would print the values of the line."""
    flags = ("--database", url, "--auth", "any", "--access-log", "/dev/full")
    with serving(*flags, "--workers", "1") as live:
        _call_with_secrets(live)
        _out, err = kill(live.process)
    last = "\nError: cannot write the log: [Errno 28] No space left on device\n"
    assert err.endswith(last)
    assert err.count("cannot write") == 1
    _assert_no_secret(err)


def test_log_that_cannot_be_opened_again_is_kept(url: str, tmp_path: Path) -> None:
    """A rotation can fail; the next one opens the file."""
    folder = tmp_path / "logs"
    folder.mkdir()
    log = folder / "access.log"
    with serving("--database", url, "--auth", "any", "--access-log", str(log)) as live:
        folder.rename(tmp_path / "old")
        live.process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        live.get("/api/bounces.count.json?api_user=a&api_key=first-key")
        _wait_for(tmp_path / "old" / "access.log", "api_user=a&")
        folder.mkdir()
        live.process.send_signal(signal.SIGUSR1)
        _wait_for(log, "")
        time.sleep(0.5)  # for the workers
        live.get("/api/bounces.count.json?api_user=b&api_key=second-key")
        _wait_for(log, "api_user=b&")
        _out, err = kill(live.process)
    problem = f"cannot write the access log {log}: No such file or directory"
    assert f"the log files were not opened again: {problem}\n" in err
    assert "Traceback" not in err


def _wait_for(path: Path, text: str) -> None:
    """Wait until a log file contains *text*."""
    deadline = time.monotonic() + TIMEOUT
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_unwritable_access_log_is_reported_in_one_line(
    url: str, tmp_path: Path
) -> None:
    """The server exits before it listens."""
    log = tmp_path / "none" / "access.log"
    ended = subprocess.run(
        [*COMMAND, "serve", "-p0", "--database", url, "--access-log", str(log)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    message = f"Error: cannot write the access log {log}: No such file or directory\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", message)


@contextmanager
def _gunicorn(*flags: str, target: str = "wsgi:app", **settings: str):
    """Run Gunicorn, and wait until it responds."""
    with gunicorn(target, *flags, **named(**settings)) as live:
        live.when_up("/_emulator/health")
        yield live


@pytest.mark.parametrize("level", ["info", "debug"])
def test_logs_of_gunicorn_flags_are_redacted(url: str, level: str) -> None:
    """The flags select the format of the access log and the log level."""
    flags = (
        "--access-logfile",
        "-",
        "--access-logformat",
        FORMAT,
        "--log-level",
        level,
    )
    variables = {"DATABASE_URL": url, "AUTH": "any", "KEY_HASH": "scrypt:128:8:1"}
    with _gunicorn(*flags, **variables) as live:
        _call_with_secrets(live)
        live.process.terminate()
        out, err = live.process.communicate(timeout=TIMEOUT)

    assert "/api/bounces.get.json?api_user=a&api_key=***&limit=x" in out + err
    assert "Basic" not in out + err
    _assert_no_secret(out + err)


#: A module whose application fails inside and outside a view.
FAILING = """
from sendgrid_bounces.storage.accounts import AccountStore
from wsgi import app

def fail(*_):
    raise ZeroDivisionError("https://sendgrid.com/?api_key=very-s3cret-key")

AccountStore.find = AccountStore.find_domain = fail

def application(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        fail()
    return app(environ, start_response)

application.app_context = app.app_context
"""


def test_tracebacks_are_redacted(url: str, tmp_path: Path) -> None:
    """The logs of Flask and of Gunicorn contain tracebacks."""
    (tmp_path / "failing.py").write_text(FAILING)
    flags = (
        "--pythonpath",
        str(tmp_path),
        "--access-logfile",
        "-",
        "--log-level",
        "debug",
    )
    variables = {"DATABASE_URL": url, "KEY_HASH": "scrypt:128:8:1"}
    with _gunicorn(*flags, target="failing:application", **variables) as live:
        _call_with_secrets(live)
        for target in ("/fail", "/api/bounces.count.json"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                live.get(f"{target}?api_user=a&api_key={SECRET}")
            assert refused.value.code == 500
            assert json.loads(refused.value.read())
        live.process.terminate()
        out, err = live.process.communicate(timeout=TIMEOUT)

    assert err.count("ZeroDivisionError") >= 2
    assert "error handling a request" in err
    _assert_no_secret(out + err)
