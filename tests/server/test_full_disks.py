"""Servers on a full disk: no write is acknowledged, and the cause is reported."""

import json
import os
import resource
import subprocess
import time
import urllib.error
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from live import COMMAND, TIMEOUT, Live, kill, serving

pytestmark = pytest.mark.server

#: Size of the file system in bytes: enough for a database and a few dozen rows.
SIZE = 512 * 1024


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_command_names_the_reason_on_a_read_only_disk(small_disk: Path) -> None:
    """SQLite reports only that it cannot open the file."""
    database = ("--database", f"sqlite:///{small_disk}/b.db")
    subprocess.run([*COMMAND, "init-db", *database], check=True)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    command = [*COMMAND, "account", "list", *database]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 1
    assert f"{small_disk}/b.db: Read-only file system: unable to open" in found.stderr


def _statuses(live: Live, number: int) -> list[int]:
    """Add addresses to a list; return the statuses of the responses."""
    statuses = []
    for index in range(number):
        call = f"{live.url}/v3/a.example/bounces"
        arguments = ["-s", "-o", os.devnull, "-w", "%{http_code}", "-u", "api:s3cret"]
        data = ["-d", f"address={index}@b.example"]
        found = subprocess.run(
            ["curl", *arguments, *data, call], capture_output=True, timeout=TIMEOUT
        )
        statuses.append(int(found.stdout))
    return statuses


def _health(live: Live) -> str:
    """Return the status of the health endpoint, whatever the status of the response."""
    try:
        return json.loads(live.get("/_emulator/health"))["status"]
    except urllib.error.HTTPError as error:
        assert error.code == 503
        return json.loads(error.read())["status"]


def _check(live: Live, reason: str) -> None:
    """Check that a full disk is reported, and that the reads go on."""
    assert 503 in _statuses(live, 5)
    deadline = time.monotonic() + TIMEOUT  # a result of the last second is repeated
    while _health(live) == "ok" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _health(live) == f"the database cannot be written: {reason}"
    assert json.loads(live.get("/api/bounces.get.json?api_user=a&api_key=s3cret")) == []

    command = [*COMMAND, "health", "--port", str(live.address[1])]
    found = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert found.returncode == 1
    assert reason in found.stderr

    log = kill(live.process)[1]
    assert "/v3/a.example/bounces' failed: sqlite database" in log
    assert "rollback" not in log.lower()


SEED = {
    "accounts": [
        {"username": "a", "api_key": "s3cret", "domains": [{"name": "a.example"}]}
    ]
}


@pytest.fixture(name="seed")
def _seed(tmp_path: Path) -> str:
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(SEED))
    return str(path)


def test_full_disk_is_reported(small_disk: Path, seed: str) -> None:
    """A write fails, and a read succeeds."""
    url = f"sqlite:///{small_disk / 'b.sqlite3'}"
    with serving("--database", url, "--seed", seed, "--workers", "1") as live:
        assert _health(live) == "ok"
        rest = small_disk / "rest"
        with rest.open("wb", 0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass

        _check(live, "No space left on device")


def test_file_at_its_largest_size_is_reported(tmp_path: Path, seed: str) -> None:
    """The limit of a process on the size of its files fails like a broken disk."""
    url = f"sqlite:///{tmp_path / 'b.sqlite3'}"
    with serving("--database", url, "--seed", seed, "--workers", "1") as live:
        assert _health(live) == "ok"
        (worker,) = live.workers()
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (100, 100))

        _check(live, "disk I/O error")
