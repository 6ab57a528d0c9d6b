"""Measure the pytest fixture: ``python benchmarks/test_double.py [ROUNDS]``.

Two suites of 200 small tests make the same requests under ``pytest -n 4``: with the
fixture over HTTP, each test with its own account, and with Flask's test client and a
shared account. The target is a ratio of 1.1 at most.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = 200

FIXTURE = """
import json
from urllib.request import urlopen
import pytest

@pytest.mark.parametrize("n", range({tests}))
def test_count(sendgrid_bounces, n):
    sendgrid_bounces.add("a@example.com", status="5.1.1")
    user, key = sendgrid_bounces.username, sendgrid_bounces.api_key
    path = f"/api/bounces.count.json?api_user={{user}}&api_key={{key}}"
    url = sendgrid_bounces.url + path
    with urlopen(url) as answer:
        assert json.load(answer) == {{"count": "1"}}
"""

CLIENT = """
import pytest
from sendgrid_bounces.app import create_app

SEED = "accounts: [{{username: acme, api_key: k, bounces: [{{email: a@x}}]}}]"

@pytest.fixture(scope="session")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    (folder / "seed.yaml").write_text(SEED)
    url = f"sqlite:///{{folder}}/bounces.sqlite3?synchronous=off"
    settings = {{"DATABASE_URL": url, "SEED": str(folder / "seed.yaml")}}
    return create_app({{**settings, "KEY_HASH": "scrypt:128:8:1"}}).test_client()

@pytest.mark.parametrize("n", range({tests}))
def test_count(client, n):
    answer = client.get("/api/bounces.count.json?api_user=acme&api_key=k")
    assert answer.json == {{"count": "1"}}
"""


def run(suite: str) -> float:
    """Return the seconds that *suite* takes with pytest-xdist."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_suite.py").write_text(suite.format(tests=TESTS))
        began = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "4", "-p", "no:cacheprovider"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
    if f"{TESTS} passed" not in ended.stdout:
        sys.exit(ended.stdout + ended.stderr)
    return seconds


def main() -> None:
    """Run the suites in turn and print the medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    times: dict[str, list[float]] = {"fixture": [], "test client": []}
    for _ in range(rounds):
        for name, suite in (("fixture", FIXTURE), ("test client", CLIENT)):
            times[name].append(run(suite))
    medians = {name: statistics.median(found) for name, found in times.items()}
    for name, seconds in medians.items():
        best = min(times[name])
        sys.stdout.write(f"{name:<12} {seconds:6.2f} s  (best {best:.2f} s)\n")
    ratio = medians["fixture"] / medians["test client"]
    sys.stdout.write(f"ratio        {ratio:6.2f}\n")


if __name__ == "__main__":
    main()
