"""Requests generated from the OpenAPI description get the described responses."""

import subprocess
import sys
from pathlib import Path

import pytest
from live import ROOT, TIMEOUT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "operations",
    ["_emulator", "not _emulator and /v3", "not _emulator and not /v3"],
)
def test_generated_requests_get_described_responses(operations: str) -> None:
    """In another process, since Schemathesis takes seconds to import."""
    pytest.importorskip("schemathesis", reason="needs the extra `fuzz`")
    file = Path(__file__).with_name("generated_calls.py")
    flags = ("-q", "-n0", "-p", "no:cacheprovider", "-p", "schemathesis")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *flags, "-k", operations, file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 10,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
