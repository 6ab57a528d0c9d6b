"""Backup and restore while servers use the database."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from live import COMMAND, TIMEOUT, Live, serving

pytestmark = pytest.mark.server

SEED = {
    "accounts": [
        {
            "username": "acme",
            "api_key": "0ld",
            "bounces": [{"email": f"{n}@example.com"} for n in range(500)],
            "domains": [{"name": "mg.example.com"}],
        }
    ],
    "faults": [{"status": 418, "account": "acme", "operation": "count"}],
}
STATE = ("accounts", "domains", "bounces?owner=acme", "clock", "faults", "snapshots")


@pytest.fixture(name="live")
def _live(database_url: str, tmp_path: Path):
    """A server with several workers, each of which has caches."""
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps(SEED))
    flags = ("--workers", "3", "--seed", str(seed), "--control", "on")
    with serving("--database", database_url, *flags) as live:
        yield live


def _status(live: Live, target: str, key: str = "") -> int:
    headers = {"Authorization": f"Bearer {key}", "Accept": "*/*"} if key else {}
    request = urllib.request.Request(live.url + target, headers=headers)  # noqa: S310 - http
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310 - http
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def _change(live: Live, method: str, path: str, data: object = None) -> None:
    request = urllib.request.Request(  # noqa: S310 - http
        f"{live.url}/_emulator/{path}",
        None if data is None else json.dumps(data).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    urllib.request.urlopen(request, timeout=TIMEOUT).close()  # noqa: S310 - http


def _run(database_url: str, *arguments: str) -> str:
    ended = subprocess.run(
        [*COMMAND, *arguments, "--database", database_url],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _statuses(live: Live) -> set[tuple[int, ...]]:
    """Return the statuses of calls with both keys, in all workers."""
    return {
        tuple(
            status
            for key in ("0ld", "n3w")
            for status in (
                _status(live, f"/api/bounces.get.json?api_user=acme&api_key={key}"),
                _status(live, f"/api/bounces.count.json?api_user=acme&api_key={key}"),
                _status(live, "/v3/suppression/bounces", key),
            )
        )
        for _ in range(12)
    }


def test_servers_notice_a_restore(live: Live, database_url: str, tmp_path) -> None:
    """Keys, lists, fault rules, the clock and snapshots, without a restart."""
    file = str(tmp_path / "backup")
    _change(live, "PUT", "clock", {"action": "freeze"})
    _change(live, "PUT", "snapshots/before")
    assert _statuses(live) == {(200, 418, 200, 403, 418, 401)}
    before = [live.get(f"/_emulator/{path}") for path in STATE]
    assert "500 bounces" in _run(database_url, "backup", file)

    _change(live, "PATCH", "accounts/acme", {"api_key": "n3w"})
    _change(live, "DELETE", "faults")
    _change(live, "DELETE", "bounces?owner=acme&email=*")
    _change(live, "DELETE", "snapshots/before")
    _change(live, "PUT", "clock", {"action": "advance", "duration": "PT1H"})
    _change(live, "POST", "accounts", {"name": "new"})
    assert _statuses(live) == {(403, 403, 401, 200, 200, 200)}
    newest = json.loads(live.get("/_emulator/requests?limit=1"))["requests"][0]["id"]

    assert "500 bounces" in _run(database_url, "restore", file, "--yes")
    assert [live.get(f"/_emulator/{path}") for path in STATE] == before
    assert _statuses(live) == {(200, 418, 200, 403, 418, 401)}
    log = json.loads(live.get("/_emulator/requests?limit=1000"))["requests"]
    assert log[-1]["id"] > newest
    assert newest in [entry["id"] for entry in log]


def test_requests_are_answered_during_a_restore(
    live: Live, database_url: str, tmp_path: Path
) -> None:
    """Each response is that of the old or of the new state; no request fails."""
    call = "/api/bounces.get.json?api_user=acme&api_key=0ld"
    files = [str(tmp_path / name) for name in ("full", "empty")]
    bodies = []
    for file in files:
        bodies.append(live.get(call))
        _run(database_url, "backup", file)
        _change(live, "DELETE", "bounces?owner=acme&email=*")
    seen: set[str] = set()
    stopped = threading.Event()

    def read() -> None:
        while not stopped.is_set():
            seen.add(live.get(call))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for file in files * 2:
            _run(database_url, "restore", file, "--yes")
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert seen == {*bodies}


#: Kills its own process while it writes the file of the backup, or the database.
KILLED = """
import os, signal, sys
from pathlib import Path
from sendgrid_bounces.storage.backups import *
from sendgrid_bounces.storage.database import open_storage

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

storage, file = open_storage(sys.argv[2]), Path(sys.argv[3])
if sys.argv[1] == "backup":
    write_backup(storage.engine, file, kill, replace=True)
with open_backup(file) as backup:
    restore_backup(storage, backup, kill)
"""


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_killed_command_changes_nothing(
    live: Live, database_url: str, tmp_path: Path, command: str
) -> None:
    """Neither the database nor an earlier backup; servers can write again."""
    file = tmp_path / "backup"
    _run(database_url, "backup", str(file))
    _change(live, "POST", "accounts", {"name": "new"})
    _change(live, "PUT", "clock", {"action": "freeze"})
    before = [live.get(f"/_emulator/{path}") for path in STATE], file.read_bytes()
    script = [sys.executable, "-c", KILLED, command, database_url, str(file)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ended = subprocess.run(script, check=False, timeout=TIMEOUT, env=environment)
    assert ended.returncode == -signal.SIGKILL
    now = [live.get(f"/_emulator/{path}") for path in STATE], file.read_bytes()
    assert now == before
    _change(live, "POST", "accounts", {"name": "newer"})
