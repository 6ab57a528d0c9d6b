"""``bounces pull`` between real servers and processes: the command and its failures."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import bounce
from live import COMMAND, TIMEOUT

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.storage.database import open_storage
from sendgrid_bounces.testing import EmulatorServer

pytestmark = pytest.mark.server

KEY = "SG.livelivelivelivelivel.livelivelivelivelivelivelivelivelivelivelive"
ROWS = 12_345


@pytest.fixture(name="live", scope="module")
def _live() -> Iterator[EmulatorServer]:
    """The live account: a server with an account and its bounces."""
    seed = {"accounts": [{"username": "live", "api_key": KEY}]}
    with EmulatorServer(seed=json.dumps(seed)) as server:
        storage = server.emulator.storage
        now = int(time.time())
        storage.bounces.put(
            storage.accounts.get("live").bounce_list,
            [
                bounce(f"user{i}@example.com", created=now - 9 - i * 60)
                for i in range(ROWS)
            ],
        )
        yield server


@pytest.fixture(name="url")
def _url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'local.sqlite3'}?synchronous=off"
    with closing(open_storage(url)) as storage:
        storage.accounts.add("acme")
    return url


def _start(url: str, live: EmulatorServer, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [
            *(*COMMAND, "bounces", "pull", "acme", "--from", "sendgrid"),
            *("--api-url", live.url, "--database", url, *options),
        ],
        env={**os.environ, "SENDGRID_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(url: str, live: EmulatorServer, *options: str) -> tuple[int, str, str]:
    process = _start(url, live, *options)
    output, errors = process.communicate(timeout=TIMEOUT * 2)
    return process.returncode, output, errors


def _rows(storage, owner: str) -> set[tuple]:
    bounce_list = storage.accounts.get(owner).bounce_list
    found = storage.bounces.find(bounce_list, BounceQuery())
    return {
        (b.email, b.status, b.code, b.reason, b.created)
        for rows in found
        for b in map(as_bounce, rows)
    }


def _assert_equal(url: str, live: EmulatorServer) -> None:
    with closing(open_storage(url)) as storage:
        assert _rows(storage, "acme") == _rows(live.emulator.storage, "live")


def test_all_rows_arrive_in_one_run_by_get(url: str, live: EmulatorServer) -> None:
    live.control.clear_requests()

    assert _run(url, live) == (
        0,
        f"read {ROWS:,} rows, changed {ROWS:,}, removed 0\n",
        "",
    )
    _assert_equal(url, live)
    assert _run(url, live, "--full")[1].endswith("changed 0, removed 0\n")
    assert {request.method for request in live.control.requests(1000)} == {"GET"}


@pytest.mark.parametrize(
    "fault",
    [
        {"drop_connection": "before"},
        {"drop_connection": "after"},
        {"truncate": True},
        {"status": 429},
    ],
    ids=str,
)
def test_faults_every_third_request_change_nothing(
    url: str, live: EmulatorServer, fault
) -> None:
    ids = [
        live.control.add_fault(
            {"dialect": "sendgrid.v3", **fault, "skip": n, "times": 1}
        )
        for n in range(2, 40, 2)
    ]
    try:
        code, output, errors = _run(url, live)
    finally:
        for id_ in ids:
            live.control.remove_fault(id_)

    assert (code, errors) == (0, "")
    assert f"changed {ROWS:,}" in output
    _assert_equal(url, live)


def test_killed_pull_is_completed_by_the_next(url: str, live: EmulatorServer) -> None:
    for _ in range(3):
        process = _start(url, live)
        time.sleep(random.uniform(0.5, 1.5))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=TIMEOUT)

    assert _run(url, live)[0] == 0
    _assert_equal(url, live)


def test_wrong_key_is_one_line(url: str, live: EmulatorServer, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("SG.wrong\n")

    assert _run(url, live, "--key-file", str(file)) == (
        1,
        "",
        "Error: 401: the API key is missing or unknown\n",
    )


def test_repeated_pull_goes_on_after_a_failure(url: str, live: EmulatorServer) -> None:
    """And ends with exit code 0 on SIGTERM."""
    id_ = live.control.add_fault({"dialect": "sendgrid.v3", "status": 403, "times": 1})
    process = _start(url, live, "--every", "PT1S")
    try:
        assert "next pull in 2 s" in process.stderr.readline()
        assert f"read {ROWS:,} rows" in process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT)
        live.control.remove_fault(id_)
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_repeated_pull_ends_while_it_waits(url: str, live, number: int) -> None:
    """The server may ask for a pause of minutes."""
    rule = {"dialect": "sendgrid.v3", "status": 429, "retry_after": 500}
    number_before = live.control.count_requests(status="429")
    id_ = live.control.add_fault(rule)
    process = _start(url, live, "--every", "PT1S")
    try:
        live.control.wait_for_requests(number_before + 1, timeout=20, status="429")
        time.sleep(0.5)
        process.send_signal(number)
        output, errors = process.communicate(timeout=10)
    finally:
        process.kill()
        live.control.remove_fault(id_)
    assert (process.returncode, output, errors) == (0, "", "")


def test_latest_pull_is_listed(url: str, live: EmulatorServer) -> None:
    """With its failure, on the command line and in JSON."""
    _run(url, live, "--since", "2012-01-01")
    id_ = live.control.add_fault({"dialect": "sendgrid.v3", "status": 403, "times": 1})
    assert _run(url, live) == (
        1,
        "",
        "Error: 403: the API key needs the scope suppression.bounces.read\n",
    )
    live.control.remove_fault(id_)

    list_ = [*COMMAND, "source", "list", "--database", url]
    text = subprocess.run(list_, capture_output=True, text=True, check=True).stdout
    output = subprocess.run([*list_, "--json"], capture_output=True, check=True).stdout
    (pull,) = json.loads(output)["pulls"]
    assert (pull["owner"], pull["rows"], pull["changed"]) == ("acme", ROWS, ROWS)
    assert "suppression.bounces.read" in pull["problem"]
    assert "12,345" in text
    assert "acme: failed at" in text
