"""Servers started with a settings file."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner
from live import ROOT, Live, gunicorn, kill, named, serving, start

from sendgrid_bounces.cli import main

pytestmark = pytest.mark.server


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def test_serve_reads_the_settings_file(url: str, tmp_path: Path, file: Path) -> None:
    """Settings without an option count too; variables and options override the file."""
    (tmp_path / "seed.yaml").write_text("accounts: [{username: acme, api_key: k}]")
    settings = {
        "database_url": url,
        "seed": [str(tmp_path / "seed.yaml")],
        "profile": "recorded",
        "workers": 1,
        "control_token": "t0ken",
    }
    file.write_text(json.dumps(settings))
    count = "/api/bounces.count.json?api_user=acme&api_key=k"

    with serving("--config", str(file)) as live:
        assert live.get(count) == '{"count": 0}'
        control = CliRunner().invoke(
            main, ["health", "-p", live.url.rpartition(":")[2]]
        )
        assert control.exit_code == 0, control.output
        with pytest.raises(OSError, match="401"):
            live.get("/_emulator/clock")
    with serving("--config", str(file), SENDGRID_BOUNCES_PROFILE="documented") as live:
        assert live.get(count) == '{"count": "0"}'
    with serving(
        *("--config", str(file), "--profile", "recorded"),
        SENDGRID_BOUNCES_PROFILE="documented",
    ) as live:
        assert live.get(count) == '{"count": 0}'


def test_gunicorn_reads_the_file_once(url: str, tmp_path: Path, file: Path) -> None:
    """A worker that starts later has the same settings."""
    (tmp_path / "seed.yaml").write_text("accounts: [{username: acme, api_key: k}]")
    file.write_text(
        f"database_url: {url}\nseed: {tmp_path / 'seed.yaml'}\nprofile: recorded\n"
        "workers: 1\n"
    )
    count = "/api/bounces.count.json?api_user=acme&api_key=k"

    with gunicorn("wsgi:app", **named(CONFIG=str(file))) as live:
        assert live.when_up(count) == '{"count": 0}'
        file.unlink()
        (worker,) = live.workers()
        os.kill(worker, signal.SIGKILL)
        assert live.when_up(count) == '{"count": 0}'
        assert live.workers() != [worker]


def test_gunicorn_listens_where_the_file_says(url: str, file: Path) -> None:
    """Gunicorn prints the address, which can be IPv6, and the port."""
    for host, shown in (("127.0.0.1", r"127\.0\.0\.1"), ("::1", r"\[::1\]")):
        file.write_text(f"database_url: {url}\nhost: '{host}'\nport: 0")
        process = start("gunicorn", "wsgi:app", cwd=ROOT, **named(CONFIG=str(file)))
        try:
            line = process.stdout.readline()
            assert re.fullmatch(rf"Listening on http://{shown}:[1-9][0-9]+\n", line)
            live = Live(line.split()[2], process)
            assert '"status":"ok"' in live.when_up("/_emulator/health")
        finally:
            kill(process)


def test_gunicorn_reports_an_invalid_file_in_one_line(file: Path) -> None:
    """Gunicorn exits before it listens."""
    file.write_text("workers: 0")
    with gunicorn("wsgi:app", **named(CONFIG=str(file))) as live:
        _, err = live.process.communicate(timeout=30)
    assert live.process.returncode
    message = "workers: must be an integer from 1 to 64 (got '0')"
    assert err == f"Error: {file}: {message}\n"
