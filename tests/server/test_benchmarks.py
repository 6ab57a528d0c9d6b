"""The benchmarks run, on little data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from live import ROOT, TIMEOUT

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_benchmarks_run(tmp_path: Path) -> None:
    """Each measure that needs no other program has its figures."""
    figures = tmp_path / "figures.json"
    command = [sys.executable, "benchmarks/run.py", "--rows", "3000", "--rounds", "1"]
    for name in (
        "beside-a-dump",
        "count",
        "offset",
        "pages",
        "start",
        "stalled",
        "uploads",
        "soak",
    ):
        command += ["--only", name]
    ended = subprocess.run(
        [*command, "--json", str(figures), "--folder", str(tmp_path)],
        cwd=ROOT,
        check=False,
        timeout=10 * TIMEOUT,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0, ended.stderr
    rows = json.loads(figures.read_text())["rows"]
    assert len(rows) == 12
    assert all(row["figures"] for row in rows)
